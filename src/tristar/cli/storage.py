"""`tristar storage`: the database of keys and memory, moved."""

import asyncio
from typing import Annotated

import typer

from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import plain_errors
from tristar.cli.terminal import print_json

app = typer.Typer(help="The database of keys and memory.", no_args_is_help=True)


@app.callback()
def storage() -> None:
    """The database of keys and memory."""


@app.command()
def migrate(
    *,
    to: Annotated[
        str,
        typer.Option("--to", metavar="URL", help="postgresql://…; its password may stand in PGPASSWORD."),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy keys and memory from SQLite to an empty PostgreSQL: all of it, counted, or nothing.

    Stop the gateway first. The SQLite file is not changed.
    """
    settings = settings_or_refuse(config)
    with plain_errors():
        from tristar.cli.moving import move  # noqa: PLC0415 - the database is heavy

        counts = asyncio.run(move(settings, to))
    if as_json:
        print_json({"moved": counts})
        return
    typer.echo(
        f"Moved {counts['keys']} keys and {counts['memory_entries']} memory entries, and counted them."
    )
    typer.echo(
        "Now set DATABASE_URL to that database and start the gateway. The SQLite file is unchanged.", err=True
    )

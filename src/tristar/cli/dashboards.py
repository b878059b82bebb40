"""`tristar dashboards`: the Grafana dashboard, written from the metrics that the gateway has."""

from pathlib import Path
from typing import Annotated

import typer

from tristar.cli.terminal import FAILED, fail
from tristar.metrics import dashboard

app = typer.Typer(help="The Grafana dashboard.", no_args_is_help=True)

_OutputOption = Annotated[Path, typer.Option("--output", metavar="PATH", help="Where the dashboard is.")]
_CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file is stale.")]


@app.command()
def build(
    output: _OutputOption = Path("grafana/tristar-dashboard.json"), check: _CheckOption = False
) -> None:
    """Write the dashboard, or compare it with the file that is there."""
    wanted = dashboard.build()
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(wanted, encoding="utf-8")
        typer.echo(f"wrote {output}")
    elif not output.exists() or output.read_text(encoding="utf-8") != wanted:
        fail(f"{output} is stale. Run `tristar dashboards build`.", FAILED)
    else:
        typer.echo(f"{output} is up to date")

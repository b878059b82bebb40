"""`tristar import`: another gateway's configuration, read into ours."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tristar.cli.endings import Misused, plain_errors
from tristar.cli.terminal import FAILED

app = typer.Typer(help="Other gateways' configurations.", no_args_is_help=True)

_HEAD = """\
# Made from {source} by `tristar import litellm`. `tristar check` judges it; every key: docs/settings.md
"""


@app.callback()
def _group() -> None:
    """Other gateways' configurations."""


@app.command()
def litellm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="LiteLLM's config.yaml.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write; default: standard output."),
    ] = None,
) -> None:
    """Write a tristar.toml from LiteLLM's config.yaml; exit 1 if something could not be carried over.

    What is left to do, and what has no place here, is listed on standard error. No key is copied.
    """
    from tristar.importing.litellm import convert  # noqa: PLC0415 - only this command needs it

    with plain_errors():
        draft = convert(_read(file), os.environ)
        text = _HEAD.format(source=file.name) + "\n" + draft.toml()
        if output is None:
            typer.echo(text, nl=False)
        elif output.exists():
            raise Misused(f"{output} is there already; name another file with --output.")
        else:
            output.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {output}; judge it with: tristar check --config {output}", err=True)
    for line in draft.to_do:
        typer.echo(f"to do:    {line}", err=True)
    for line in draft.left_out:
        typer.echo(f"left out: {line}", err=True)
    raise typer.Exit(FAILED if draft.left_out else 0)


def _read(file: Path) -> Mapping[str, object]:
    import yaml  # noqa: PLC0415 - only this command reads YAML

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Misused(f"{file} is not YAML: {error}") from error
    if not isinstance(found, Mapping):
        raise Misused(f"{file} holds no configuration: its top level has to be a table with model_list.")
    return found

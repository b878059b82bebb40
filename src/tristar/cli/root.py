"""`tristar` itself: `serve`, `check`, `models`, and the groups of the other modules."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

import tristar
from tristar.cli import audit, dashboards, demo, doctor, importing, keys, mcp, rules, storage
from tristar.cli.configuration import ConfigOption, JsonOption, read_settings, refuse, settings_or_refuse
from tristar.cli.terminal import FAILED, WRONG, print_json, print_rows
from tristar.errors import SettingsInvalid, StartRefused, TriStarError
from tristar.routing.catalog import Catalog
from tristar.settings import Settings, check_directories

app = typer.Typer(
    name="tristar",
    help="The multi-LLM gateway whose monitoring can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dashboards.app, name="dashboards")
app.add_typer(rules.app, name="rules")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(storage.app, name="storage")
app.add_typer(importing.app, name="import")
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("mcp")(mcp.serve)

_HostOption = Annotated[str | None, typer.Option("--host", metavar="H", help="Address to listen on.")]
_PortOption = Annotated[int | None, typer.Option("--port", metavar="P", help="Port; 0 takes a free one.")]
_WorkersOption = Annotated[int | None, typer.Option("--workers", metavar="N", help="Serving processes.")]


@dataclass(frozen=True)
class _Listed:
    """One line of `tristar models`; an open provider is `NAME/*`, a pool has its choice and its llms."""

    id: str
    provider: str
    model: str
    fallbacks: Sequence[str]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tristar {tristar.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """The multi-LLM gateway whose monitoring can be trusted."""


@app.command()
def serve(
    config: ConfigOption = None,
    host: _HostOption = None,
    port: _PortOption = None,
    workers: _WorkersOption = None,
) -> None:
    """Run the gateway until SIGTERM or SIGINT."""
    settings = settings_or_refuse(config, host=host, port=port, workers=workers)
    try:
        check_directories(settings)
        code = _run_gateway(settings)
    except SettingsInvalid as invalid:
        refuse(invalid)
    except StartRefused as refused:
        typer.echo(str(refused), err=True)
        code = WRONG
    raise typer.Exit(code)


def _run_gateway(settings: Settings) -> int:
    """The one place where the command line loads the server; the other commands start without it."""
    from tristar.serving import serve as run  # noqa: PLC0415 - heavy, and only this command needs it

    return run(settings)


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Validate the whole configuration; name every bad value, and exit 2 if there is one."""
    try:
        settings = read_settings(config)
        check_directories(settings)
    except SettingsInvalid as invalid:
        if not as_json:
            refuse(invalid)
        print_json({"ok": False, "faults": invalid.faults})
        raise typer.Exit(WRONG) from None
    catalog = settings.catalog
    llms, pools, opened = len(catalog.llms), len(catalog.pools), len(catalog.open_providers)
    if as_json:
        print_json({"ok": True, "faults": [], "llms": llms, "pools": pools, "open_providers": opened})
    else:
        source = settings.config_path or "no file"
        counts = f"{llms} llms, {pools} pools, {opened} open providers"
        typer.echo(f"The configuration is good ({source}): {counts}.")


@app.command()
def models(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the llms that clients can name as "model"."""
    rows = _listed(settings_or_refuse(config).catalog)
    if as_json:
        print_json({"data": rows})
        return
    cells = [(row.id, row.provider, row.model, ", ".join(row.fallbacks)) for row in rows]
    print_rows(("MODEL", "PROVIDER", "UPSTREAM MODEL", "FALLBACKS"), cells)


def _listed(catalog: Catalog) -> list[_Listed]:
    named = [
        _Listed(llm.llm_id, llm.provider.name, llm.model, llm.fallbacks) for llm in catalog.llms.values()
    ]
    pools = [
        _Listed(pool.llm_id, f"({pool.choose})", ", ".join(pool.pool), pool.fallbacks)
        for pool in catalog.pools.values()
    ]
    return named + pools + [_Listed(f"{name}/*", name, "*", ()) for name in catalog.open_providers]


def main() -> None:
    """Run the command line and exit: 0 done, 1 the check failed, 2 wrong use or configuration."""
    try:
        app(prog_name="tristar")
    except TriStarError as error:
        typer.echo(str(error), err=True)
        sys.exit(FAILED)

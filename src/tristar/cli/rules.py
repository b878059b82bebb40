"""`tristar rules`: Prometheus' recording rules, written from the objectives in the configuration."""

from pathlib import Path
from typing import Annotated

import typer

from tristar.cli.configuration import ConfigOption, settings_or_refuse
from tristar.cli.terminal import FAILED, fail
from tristar.metrics import rules
from tristar.metrics.rules import Objective, Objectives
from tristar.settings import Settings

app = typer.Typer(help="Prometheus' recording rules.", no_args_is_help=True)

_OutputOption = Annotated[Path, typer.Option("--output", metavar="PATH", help="Where the rules are.")]
_CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if the file is stale.")]


@app.callback()
def _group() -> None:
    """Prometheus' recording rules, from the objectives in the configuration."""


@app.command()
def build(
    config: ConfigOption = None,
    output: _OutputOption = Path("prometheus/recording.yml"),
    check: _CheckOption = False,
) -> None:
    """Write the rules from `[slo]` and the llms' own objectives, or compare them with the file there."""
    wanted = rules.build(objectives_of(settings_or_refuse(config)))
    if not check:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(wanted, encoding="utf-8")
        typer.echo(f"wrote {output}; reload Prometheus: curl -X POST localhost:9090/-/reload, or SIGHUP")
    elif not output.exists() or output.read_text(encoding="utf-8") != wanted:
        fail(f"{output} is stale. Run `tristar rules build`, then reload Prometheus.", FAILED)
    else:
        typer.echo(f"{output} is up to date")


def objectives_of(settings: Settings) -> Objectives:
    """The objectives that a configuration sets."""
    slo = settings.slo
    own = {
        (llm.model, llm.provider.name): Objective(
            slo.llm_success if llm.slo_success is None else llm.slo_success,
            slo.llm_within_s if llm.slo_within_s is None else llm.slo_within_s,
        )
        for llm in settings.catalog.llms.values()
        if (llm.slo_success, llm.slo_within_s) != (None, None)
    }
    return Objectives(slo.availability, Objective(slo.llm_success, slo.llm_within_s), own)

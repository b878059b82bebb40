"""`tristar audit hold`: records that retention must not delete, whatever their age."""

import asyncio
from typing import Annotated

import typer

from tristar.audit.export import moment
from tristar.audit.retention import Hold, hold, list_holds, release_hold
from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import Misused, plain_errors
from tristar.cli.lines import print_whole, shown
from tristar.cli.moments import SinceOption, UntilOption, past
from tristar.cli.recording import Recorder, existing_log, refuse_stranger
from tristar.cli.terminal import print_json
from tristar.settings import Settings

app = typer.Typer(help="Keep records beyond their retention.", no_args_is_help=True)

_NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Letters, digits, dots, dashes, underscores.")
]
_ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stands in the log.")]
_RESOURCE = "audit/holds"


@app.command()
def add(
    name: _NameArgument,
    reason: _ReasonOption,
    since: SinceOption = None,
    until: UntilOption = None,
    config: ConfigOption = None,
) -> None:
    """Keep every record from --since to --until; without them, all. Replaces a hold of the same name."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder = _recorder(settings)
        held = Hold(
            name=name,
            reason=reason,
            since=(moment(past(since, "--since", recorder.clock)) or b"").decode(),
            until=(moment(past(until, "--until", recorder.clock)) or b"").decode(),
        )
        try:
            hold(settings.audit.dir, held)
        except ValueError as error:
            raise Misused(f"{name[:80]!r}: {error}") from None
        details = {"order": "add", "reason": reason, "since": held.since, "until": held.until}
        asyncio.run(recorder.record("audit_hold", f"{_RESOURCE}/{name}", details, "WARNING"))
    typer.echo(f"{name} holds {_span(held)}.")


@app.command()
def release(name: _NameArgument, reason: _ReasonOption, config: ConfigOption = None) -> None:
    """End a hold: what has expired is deleted at the next retention, within the hour."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder = _recorder(settings)
        if name not in {held.name for held in list_holds(settings.audit.dir)}:
            raise Misused(f"There is no hold {name[:80]!r}: `tristar audit hold list` names them.")
        details = {"order": "release", "reason": reason}
        # Recorded first: nothing may become deletable that the log does not account for.
        asyncio.run(recorder.record("audit_hold", f"{_RESOURCE}/{name}", details, "WARNING"))
        release_hold(settings.audit.dir, name)
    typer.echo(f"{name} is released.")


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the holds in force."""
    settings = settings_or_refuse(config)
    with plain_errors():
        holds = list_holds(existing_log(settings.audit.dir))
    if as_json:
        print_json({"data": holds})
        return
    rows = [(held.name, held.since, held.until, shown(held.reason)) for held in holds]
    print_whole(("NAME", "SINCE", "UNTIL", "REASON"), rows)


def _recorder(settings: Settings) -> Recorder:
    refuse_stranger(existing_log(settings.audit.dir))
    return Recorder(settings)


def _span(held: Hold) -> str:
    if not held.since and not held.until:
        return "every record"
    return f"records from {held.since or 'the first'} to {held.until or 'the last, and those to come'}"

"""`tristar doctor`: what is wrong here, and how to mend it, before a request finds out."""

import typer

from tristar.cli.configuration import ConfigOption, JsonOption, read_settings, refuse
from tristar.cli.terminal import FAILED, WRONG, print_json
from tristar.errors import SettingsInvalid

_MARKS = {"good": "ok  ", "doubtful": "?   ", "bad": "BAD "}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Look at configuration, providers, stores, audit log, clock, limits and port; exit 1 if one is bad.

    Sends each provider one request for its list of models, with each of its keys. Changes nothing.
    """
    try:
        settings = read_settings(config)
    except SettingsInvalid as invalid:
        if not as_json:
            refuse(invalid)
        print_json({"ok": False, "faults": invalid.faults})
        raise typer.Exit(WRONG) from None
    from tristar.doctor.visit import examine  # noqa: PLC0415 - database and HTTP client are heavy

    found = examine(settings)
    ill = sum(finding.verdict == "bad" for finding in found)
    if as_json:
        print_json({"ok": not ill, "findings": found})
    else:
        for finding in found:
            fix = f" -> {finding.fix}" if finding.fix else ""
            typer.echo(f"{_MARKS[finding.verdict]} {finding.subject}: {finding.told}{fix}")
        doubts = sum(finding.verdict == "doubtful" for finding in found)
        typer.echo(f"{len(found)} looked at: {ill} bad, {doubts} doubtful.", err=True)
    raise typer.Exit(FAILED if ill else 0)

"""`tristar audit about` and `erase`: what the log knows of one person, and forgetting it."""

import asyncio
from typing import Annotated

import msgspec
import typer

from tristar.audit import erasure
from tristar.audit.subjects import Keyring
from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import Misused, plain_errors
from tristar.cli.lines import cells
from tristar.cli.recording import Recorder, existing_log, refuse_stranger
from tristar.cli.terminal import FAILED, fail, print_json
from tristar.settings import Settings

_SubjectArgument = Annotated[
    str,
    typer.Argument(metavar="SUBJECT", help="A user id as callers pass it; never a key's id."),
]
_RESOURCE = "audit/subjects"


def about(*, subject: _SubjectArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print every record about one person, oldest first, as an access request asks. It is recorded."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder, count = _recorder(settings, subject), 0
        for record in erasure.records_about(settings.audit.dir, subject):
            count += 1
            typer.echo(msgspec.json.encode(record) if as_json else "\t".join(cells(record)))
        typer.echo(f"{count:,} records are about this subject.", err=True)
        details = {"command": "about", "subject": subject, "records": count}
        asyncio.run(recorder.record("audit_read", _RESOURCE, details, subject=subject))


def erase(
    *,
    subject: _SubjectArgument,
    reason: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="Stands in the log for ever: a ticket, not a name."),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget one person: destroy the key under which their fields are encrypted. It cannot be undone."""
    settings = settings_or_refuse(config)
    directory = settings.audit.dir
    with plain_errors():
        recorder = _recorder(settings, subject)
        found = erasure.survey(directory, subject)
        if found.empty:
            raise Misused("Nothing was erased: no record names this subject. Check the id.")
        erasure.refuse_held(directory, found)
        receipt = found.receipt()
        # Recorded first: nothing may be unreadable that the log does not account for.
        asyncio.run(recorder.record("audit_erasure", _RESOURCE, receipt.details(reason), "WARNING"))
        erasure.destroy(directory, subject)
    if as_json:
        print_json(receipt)
    else:
        _print(receipt)
    if receipt.in_plain_text:
        fail(
            f"{receipt.in_plain_text:,} records were made while AUDIT_ERASABLE was off and name the subject "
            "in plain text: no line is ever changed, so they stay until retention deletes them.",
            FAILED,
        )


def _print(receipt: erasure.Receipt) -> None:
    if receipt.subject_key is not None:
        typer.echo(
            f"Erased: {receipt.records:,} records can no longer be read as this subject's; the key "
            f"{receipt.subject_key} is destroyed."
        )
    typer.echo("Out of reach:")
    for line in (*receipt.out_of_reach, *(f"export {path}" for path in receipt.exports)):
        typer.echo(f"  {line}")


def _recorder(settings: Settings, subject: str) -> Recorder:
    refuse_stranger(existing_log(settings.audit.dir))
    if not subject.strip():
        raise Misused("Name the subject.")
    keyring = Keyring.make(settings.audit.dir) if settings.audit.erasable else None
    return Recorder(settings, keyring=keyring)

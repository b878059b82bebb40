"""`tristar audit about` and `erase`: what log and memory know of one person, and forgetting it."""

import asyncio
import importlib
from collections.abc import Mapping
from types import ModuleType
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
    """Print every record and memory entry about one person, as an access request asks. It is recorded."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder, count = _recorder(settings, subject), 0
        for record in erasure.records_about(settings.audit.dir, subject):
            count += 1
            typer.echo(msgspec.json.encode(record) if as_json else "\t".join(cells(record)))
        entries = _memory().entries_about(settings, subject)
        for entry in entries:
            typer.echo(msgspec.json.encode(entry) if as_json else _line(entry))
        typer.echo(f"{count:,} records and {len(entries):,} memory entries are about this subject.", err=True)
        details = {"command": "about", "subject": subject, "records": count, "memory_entries": len(entries)}
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
    """Forget one person, for good: destroy the key of their records, delete the memory's entries."""
    settings = settings_or_refuse(config)
    directory = settings.audit.dir
    with plain_errors():
        recorder = _recorder(settings, subject)
        found = erasure.survey(directory, subject)
        entries = len(_memory().entries_about(settings, subject))
        if found.empty and not entries:
            raise Misused("Nothing was erased: no record or memory entry names this subject. Check the id.")
        erasure.refuse_held(directory, found)
        receipt = found.receipt(entries)
        # Recorded first: nothing may be unreadable that the log does not account for.
        asyncio.run(recorder.record("audit_erasure", _RESOURCE, receipt.details(reason), "WARNING"))
        if entries:
            _memory().forget(settings, subject)
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
    if receipt.memory_entries:
        typer.echo(f"Deleted: {receipt.memory_entries:,} memory entries, with their history.")
    typer.echo("Out of reach:")
    for line in (*receipt.out_of_reach, *(f"export {path}" for path in receipt.exports)):
        typer.echo(f"  {line}")


def _line(entry: Mapping[str, object]) -> str:
    content = " ".join(str(entry["content"]).split())
    return "\t".join((str(entry["created_at"]), "memory", str(entry["id"]), content[:200]))


def _memory() -> ModuleType:
    return importlib.import_module("tristar.cli.remembering")  # the database is heavy


def _recorder(settings: Settings, subject: str) -> Recorder:
    refuse_stranger(existing_log(settings.audit.dir))
    if not subject.strip():
        raise Misused("Name the subject.")
    keyring = Keyring.make(settings.audit.dir) if settings.audit.erasable else None
    return Recorder(settings, keyring=keyring)

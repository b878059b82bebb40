"""`tristar audit`: the log verified, exported, asked, followed, proved, and recovered."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tristar.audit import export as exporting
from tristar.audit.access import handover
from tristar.audit.formats import NAMES
from tristar.audit.options import WriterBusy
from tristar.audit.override import announce_restore, recover_accept_truncation
from tristar.audit.proof import check_proof
from tristar.audit.proof import prove as make_proof
from tristar.audit.question import MOST_RECORDS, Question, Record
from tristar.audit.record import Action
from tristar.audit.subjects import Keyring
from tristar.audit.tail import tail as newest
from tristar.audit.writer import AuditWriter
from tristar.cli import holds, inquiry, replicas, subjects
from tristar.cli.configuration import ConfigOption, JsonOption, settings_or_refuse
from tristar.cli.endings import Misused, plain_errors
from tristar.cli.lines import COLUMNS, cells, print_whole, shown
from tristar.cli.moments import SinceOption, UntilOption, past
from tristar.cli.progress import count_progress
from tristar.cli.reconcile import Balance
from tristar.cli.reconcile import reconcile as balance_books
from tristar.cli.recording import (
    Recorder,
    existing_log,
    load_signer,
    operator,
    refuse_stranger,
    writer_options,
)
from tristar.cli.terminal import FAILED, WRONG, fail, print_json
from tristar.cli.verification import (
    balance_json,
    print_balance,
    print_report,
    verified,
    verifier_key,
)
from tristar.errors import AuditCorrupt, AuditUnavailable
from tristar.settings import Settings

app = typer.Typer(help="The audit log: verify, export, ask, follow, recover.", no_args_is_help=True)
keys = typer.Typer(help="The key that signs the log.", no_args_is_help=True)
app.add_typer(holds.app, name="hold")
app.command()(subjects.about)
app.command()(subjects.erase)
app.add_typer(keys, name="keys")
app.add_typer(replicas.app, name="replicas")

_LOG = "audit/log"
_FOLLOW_S = 0.5
_FOLLOW_RECORDS = 1000

_PublicKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--public-key", metavar="FILE", help="The log's public key, instead of the data directory's."
    ),
]


@app.command()
def verify(
    *,
    config: ConfigOption = None,
    public_key: _PublicKeyOption = None,
    expect_checkpoint: Annotated[
        Path | None,
        typer.Option("--expect-checkpoint", metavar="FILE", help="A copy of `checkpoint` kept elsewhere."),
    ] = None,
    reconcile: Annotated[
        str | None,
        typer.Option("--reconcile", metavar="URL", help="Also balance the log against this metrics page."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every record is there, unaltered and in its place. Writes nothing; exit 1 on any fault."""
    settings = settings_or_refuse(config)
    with plain_errors():
        report = verified(settings, public_key, expect_checkpoint)
        if not as_json:
            print_report(settings.audit.dir, report)
        balance = _balance(settings.audit.dir, reconcile) if reconcile else None
    if as_json:
        books = {} if balance is None else {"reconciled": balance_json(balance)}
        print_json(report.told() | books)
    elif balance is not None:
        print_balance(balance)
    if not report.ok:
        raise typer.Exit(FAILED)
    if isinstance(balance, Misused):
        raise typer.Exit(WRONG)
    if isinstance(balance, AuditCorrupt) or (balance is not None and not balance.ok):
        raise typer.Exit(FAILED)


def _balance(directory: Path, url: str) -> Balance | Misused | AuditCorrupt:
    """The comparison, or why there is none: what verification found is told all the same."""
    try:
        return balance_books(directory, url)
    except (Misused, AuditCorrupt) as error:
        return error


@app.command()
def export(
    *,
    output: Annotated[
        Path, typer.Option("--output", metavar="PATH", help="The file; .gz or .zst is added or removed.")
    ],
    form: Annotated[str, typer.Option("--format", metavar="F", help=", ".join(NAMES) + ".")] = "jsonl",
    since: SinceOption = None,
    until: UntilOption = None,
    compress: Annotated[
        str | None, typer.Option("--compress", metavar="HOW", help="gzip (the default) or zstd.")
    ] = None,
    no_compress: Annotated[bool, typer.Option("--no-compress", help="Leave it as it is.")] = False,
    unseal: Annotated[
        bool, typer.Option("--unseal", help="jsonl: with what is encrypted for a person readable.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the records to a file, in order, with a manifest beside it. The export is itself recorded."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder = _reader(settings)
        packed = _compression(form, compress, no_compress=no_compress)
        first, last = past(since, "--since", recorder.clock), past(until, "--until", recorder.clock)
        if form not in NAMES:
            raise Misused(f"--format = {form!r:.64}: use one of {', '.join(NAMES)}.")
        with count_progress("Exporting") as progress:
            done = exporting.export(
                settings.audit.dir,
                output,
                clock=recorder.clock,
                form=form,
                compress=packed,
                since=first,
                until=last,
                progress=progress,
                unseal=unseal,
            )
    manifest = done.manifest
    if as_json:
        print_json({"path": str(done.path), "manifest_path": str(done.manifest_path), "manifest": manifest})
    else:
        typer.echo(f"{manifest.count:,} records in {done.path}; what it holds: {done.manifest_path}")
    what = ("format", "compression", "count", "since", "until", "bytes", "sha256")
    details = {name: getattr(manifest, name) for name in what}
    _record(recorder, "audit_exported", {"path": str(done.path.absolute()), **details})


@app.command()
def query(
    sql: Annotated[
        str | None,
        typer.Argument(metavar="SQL", help="One SELECT over the table `audit`, instead of filters."),
    ] = None,
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    level: Annotated[str | None, typer.Option("--level", help="INFO, WARNING, SECURITY…")] = None,
    action: Annotated[str | None, typer.Option("--action", help="llm_call, audit_gap, key_created…")] = None,
    user: Annotated[
        str | None, typer.Option("--user", help="user_id: a key's id, or a caller's own.")
    ] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="trace_id.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="The exact path.")] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=MOST_RECORDS, help="How many.")] = 100,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="From the beginning.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the records that match every filter, the newest first, or what a SELECT finds.

    The reading is itself recorded.
    """
    settings = settings_or_refuse(config)
    if sql is not None:
        if any(value is not None for value in (since, until, level, action, user, trace, resource)):
            fail(
                "Filters go into the SQL: WHERE trace_id = '…' AND timestamp > now() - INTERVAL 1 DAY.", WRONG
            )
        with plain_errors():
            recorder = _reader(settings)
            found = inquiry.select(settings.audit.dir, sql, limit)
        inquiry.print_rows(found, as_json=as_json)
        _record(recorder, "audit_read", {"command": "query", "sql": sql, "rows": len(found.data)})
        return
    with plain_errors():
        recorder = _reader(settings)
        first, last = past(since, "--since", recorder.clock), past(until, "--until", recorder.clock)
        question = Question(first, last, level, action, user, trace, resource, limit, not oldest_first)
        records = _answer(settings, question)
    filters = {"since": since, "until": until, "user_id": user, **question.wanted()}
    asked = {name: value for name, value in filters.items() if value is not None}
    _print_records(records, as_json=as_json)
    if len(records) == limit:
        typer.echo(f"There may be more: these are {limit:,} (--limit), export gives all.", err=True)
    details = {"command": "query", "filters": asked, "records": len(records)}
    _record(recorder, "audit_read", details, subject=user if user and not _is_ours(user) else None)


@app.command()
def tail(
    *,
    count: Annotated[int, typer.Option("-n", min=1, max=MOST_RECORDS, help="How many to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON lines.")] = False,
) -> None:
    """Print the newest records, oldest of them first. The reading is itself recorded."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder = _reader(settings)
        records = newest(settings.audit.dir, count)
        _print_lines(records, as_json=as_json)
        details = {"command": "tail", "records": len(records), "follow": follow}
        _record(recorder, "audit_read", details)
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                for record in _following(settings.audit.dir, records):
                    _print_lines([record], as_json=as_json)


@app.command()
def prove(
    *,
    seq: Annotated[int, typer.Argument(metavar="SEQ", min=0, help="The record's `seq`.")],
    public_key: _PublicKeyOption = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof itself, to hand on.")] = False,
) -> None:
    """Prove that a record is in the log, to somebody who has the public key alone (RFC 6962)."""
    settings = settings_or_refuse(config)
    with plain_errors():
        recorder = _reader(settings)
        key = verifier_key(settings, public_key)
        try:
            proof = make_proof(settings.audit.dir, seq)
        except (LookupError, ValueError) as error:
            raise Misused(f"No proof: {error}.") from error
        faults = check_proof(proof, key)
        if faults:
            fail(f"The proof does not hold: {'; '.join(faults)}. Run `tristar audit verify`.", FAILED)
    if as_json:
        typer.echo(proof.encode(), nl=False)
    else:
        typer.echo(
            f"Record {seq} is in the log of {proof.size:,} records that {key.name} has signed "
            f"({len(proof.hashes)} hashes; --json prints the proof)."
        )
        typer.echo(shown(proof.line) if proof.line else "Retention has deleted the record itself.")
    _record(recorder, "audit_read", {"command": "prove", "seq": seq})


@app.command()
def recover(
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stands in the log for ever.")],
    accept_truncation: Annotated[
        bool, typer.Option("--accept-truncation", help="Give up what is missing or altered.")
    ] = False,
    restored: Annotated[
        Path | None,
        typer.Option(
            "--restored",
            metavar="FILE",
            help="A backup was put back: the newest `checkpoint` that was kept from before.",
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a log that refuses to start usable again. Keep a copy first; the gateway must be stopped."""
    settings = settings_or_refuse(config)
    directory = settings.audit.dir
    with plain_errors():
        refuse_stranger(existing_log(directory))
        if restored is not None:
            _announce(settings, restored, reason)
            return
        if not accept_truncation:
            raise Misused(
                "Nothing was changed. `tristar audit verify` names what is at fault; keep a copy of "
                f"{directory}, then give it up for good with --accept-truncation."
            )
        recorder = Recorder(settings)
        try:
            gaps = recover_accept_truncation(
                directory,
                signer=load_signer(settings.data_dir),
                clock=recorder.clock,
                internal=recorder.scribe.internal,
                operator=f"os:{operator()}",
                reason=reason,
            )
        except WriterBusy as busy:
            fail(f"Nothing was given up. {busy}: stop the gateway first.", FAILED)
    if gaps is None:
        typer.echo("Nothing is missing or altered as far as a start needs it; nothing was given up.")
        return
    spans = (*gaps.accepted, *gaps.rewound)
    given_up = [str(first) if end - first == 1 else f"{first} to {end - 1}" for first, end in spans]
    typer.echo(
        f"Records given up for good, all told: {', '.join(given_up) or 'none'}. The log says so, and can be "
        "used again."
    )


def _announce(settings: Settings, superseded: Path, reason: str) -> None:
    recorder = Recorder(settings)
    try:
        size, lost = announce_restore(
            settings.audit.dir,
            signer=load_signer(settings.data_dir),
            clock=recorder.clock,
            internal=recorder.scribe.internal,
            operator=f"os:{operator()}",
            reason=reason,
            superseded=superseded.read_bytes(),
        )
    except WriterBusy as busy:
        fail(f"Nothing was announced. {busy}: stop the gateway first.", FAILED)
    except ValueError as error:
        raise Misused(f"{superseded}: {error}.") from error
    typer.echo(
        f"The log says that a backup of {size:,} records took the place of {lost:,}. Keep a new checkpoint."
    )


@keys.command()
def rotate(*, config: ConfigOption = None) -> None:
    """Replace the signing key by a successor that it signs. The gateway must be stopped."""
    settings = settings_or_refuse(config)
    directory = settings.audit.dir
    with plain_errors():
        refuse_stranger(existing_log(directory))
        signer = load_signer(settings.data_dir)
        recorder = Recorder(settings)
        try:
            with handover(directory):
                writer = AuditWriter.open(
                    directory,
                    options=writer_options(settings.audit),
                    signer=signer,
                    clock=recorder.clock,
                    on_commit=_nobody,
                    internal=recorder.scribe.internal,
                )
        except WriterBusy as busy:
            fail(f"The key was not rotated. {busy}.", FAILED)
        try:
            fresh = writer.rotate_key(settings.data_dir)
        finally:
            writer.close()
    typer.echo(f"The log is signed by {fresh.text} from now on. Keep a copy of the public key elsewhere.")


def _nobody(tokens: object, error: AuditUnavailable | None) -> None:
    """No record of the caller's own waits for its commit."""


def _reader(settings: Settings) -> Recorder:
    """What records a reading of this log; refuses where there is none, or where it could not be recorded."""
    refuse_stranger(existing_log(settings.audit.dir))
    keyring = Keyring.make(settings.audit.dir) if settings.audit.erasable else None
    return Recorder(settings, keyring=keyring)


def _is_ours(user: str) -> bool:
    """Whether a user id is one of the gateway's own: a key, or who runs a command. It names no person."""
    return user.startswith(("key_", "os:", "subject:")) or user in {"anonymous", "bootstrap"}


def _record(
    recorder: Recorder, action: Action, details: Mapping[str, object], *, subject: str | None = None
) -> None:
    """Record what was read. The answer is out already: a broken log must be readable to be mended."""
    with plain_errors():
        try:
            asyncio.run(recorder.record(action, _LOG, details, subject=subject))
        except AuditUnavailable as error:
            fail(f"The answer is complete, but the log could not record that it was read: {error}.", FAILED)


def _compression(form: str, named: str | None, *, no_compress: bool) -> str:
    if no_compress and named is not None:
        raise Misused("--compress and --no-compress contradict each other.")
    if named not in {None, "gzip", "zstd"}:
        raise Misused(f"--compress = {named!r:.64}: use gzip or zstd, or --no-compress.")
    if form == "parquet":
        if named is not None:
            raise Misused("Parquet is compressed in itself: leave --compress out.")
        return "none"
    return "none" if no_compress else named or "gzip"


def _answer(settings: Settings, question: Question) -> list[Record]:
    try:
        question.wanted()
    except ValueError as error:
        raise Misused(f"--level: {error}.") from None
    return inquiry.matching(settings.audit.dir, question)


def _print_records(records: list[Record], *, as_json: bool) -> None:
    if as_json:
        print_json({"data": records})
    else:
        print_whole(COLUMNS, [cells(record) for record in records])


def _print_lines(records: list[Record], *, as_json: bool) -> None:
    for record in records:
        typer.echo(msgspec.json.encode(record) if as_json else "\t".join(cells(record)))


def _following(directory: Path, shown_before: list[Record]) -> Iterator[Record]:
    """What is appended from now on, until the reader leaves."""
    last = _seq(shown_before[-1]) if shown_before else -1
    while True:
        for record in _appended(directory, last):
            last = _seq(record)
            yield record
        time.sleep(_FOLLOW_S)


def _appended(directory: Path, after: int) -> list[Record]:
    records = newest(directory, _FOLLOW_RECORDS, after)
    if len(records) < _FOLLOW_RECORDS:
        return records
    missed = _seq(records[-1]) - after
    return newest(directory, min(MOST_RECORDS, missed), after)


def _seq(record: Record) -> int:
    return int(str(record["seq"]))

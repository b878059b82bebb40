"""What `tristar audit verify` found, said to people and to scripts."""

from collections.abc import Iterator
from pathlib import Path

import typer

from tristar.audit import verify as verifying
from tristar.audit.anchors.evidence import gather
from tristar.audit.signing import PUBLIC_FILE, KeyInvalid, VerifierKey
from tristar.audit.verify import NothingToVerify, Report
from tristar.cli.endings import Misused, said
from tristar.cli.lines import print_whole, shown
from tristar.cli.progress import byte_progress
from tristar.cli.reconcile import Balance
from tristar.cli.recording import is_log
from tristar.errors import TriStarError
from tristar.settings import Settings

_SHOWN_FAULTS = 50
_KEY_HOLDER = (
    "nor could a log that was written anew by somebody who holds the signing key: keep copies of "
    "`checkpoint` where this machine cannot change them"
)
_KEY_BESIDE = (
    "the public key was read from the data directory; whoever can write there can replace it: keep it "
    "elsewhere, and name it with --public-key"
)


def verified(settings: Settings, public_key: Path | None, expected: Path | None) -> Report:
    """The report on this installation's log; writes nothing.

    Raises:
        NothingToVerify: there is no log in the directory.
        KeyInvalid, Misused: a file that was named, or the public key, cannot be used.
    """
    directory = settings.audit.dir
    if not is_log(directory):
        raise NothingToVerify(f"{directory}: nothing to verify, no audit log here. Check AUDIT_LOG_DIR.")
    key = verifier_key(settings, public_key)
    checkpoint = _content(expected) if expected is not None else None
    evidence = gather(settings.audit.anchors, directory, key.name)
    with byte_progress("Verifying") as progress:
        report = verifying.verify(directory, key, checkpoint, progress, anchored=evidence.checkpoints)
    report.faults += evidence.faults
    report.notices += evidence.notices
    if checkpoint is None and not evidence.checkpoints:
        report.notices.append(_KEY_HOLDER)
    if public_key is None:
        report.notices.append(_KEY_BESIDE)
    return report


def verifier_key(settings: Settings, named: Path | None) -> VerifierKey:
    """The public key in this file, or the data directory's. Raises KeyInvalid."""
    path = named or settings.data_dir / PUBLIC_FILE
    try:
        return VerifierKey.load(path)
    except FileNotFoundError:
        hint = "" if named else ": check TRISTAR_DATA_DIR, or name the key with --public-key"
        raise KeyInvalid(f"{path}: no public key here{hint}") from None
    except (OSError, UnicodeDecodeError, KeyInvalid) as error:
        raise KeyInvalid(f"{path}: {said(error) if isinstance(error, OSError) else error}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Misused(f"--expect-checkpoint: {said(error)}") from error


def print_report(directory: Path, report: Report) -> None:
    """Faults on standard error, the rest on standard output."""
    for fault in report.faults[:_SHOWN_FAULTS]:
        typer.echo(shown(fault), err=True)
    if len(report.faults) > _SHOWN_FAULTS:
        typer.echo(f"and {len(report.faults) - _SHOWN_FAULTS} more faults: --json lists all", err=True)
    if report.ok:
        typer.echo(
            f"No fault in {directory}: {report.size:,} records are accounted for "
            f"(segments read: {report.segments:,})."
        )
    else:
        count = len(report.faults)
        typer.echo(
            f"{count:,} fault{'s' if count > 1 else ''} in {directory}. Change nothing and keep a copy; "
            "docs/audit.md says what next.",
            err=True,
        )
    print_notices(report.notices)


def print_notices(notices: list[str]) -> None:
    """What is true and no fault."""
    for notice in notices:
        typer.echo(f"note: {notice}.")


def print_balance(balance: Balance | TriStarError) -> None:
    """One line if the books balance, else the figures that do not agree, or why nothing was compared."""
    if isinstance(balance, TriStarError):
        typer.echo(f"The books were not compared: {balance}", err=True)
        return
    if balance.ok:
        typer.echo(
            f"The books balance: {balance.requests:,} requests under /v1, /mcp and /admin, "
            f"{balance.attempts:,} attempts and {balance.tokens:,} tokens since the start at {balance.since}."
        )
    else:
        typer.echo(f"The books do NOT balance since the start at {balance.since}:", err=True)
        print_whole(("FIGURE", "METRICS", "AUDIT LOG"), list(_differences(balance)))
    print_notices(balance.notices)


def _differences(balance: Balance) -> Iterator[tuple[str, str, str]]:
    for row in balance.rows:
        if row.ok:
            continue
        if row.log_most is None:
            log = f"at least {row.log_least}"
        elif row.log_least == row.log_most:
            log = str(row.log_most)
        else:
            log = f"{max(0, row.log_least)} to {row.log_most}"
        yield shown(row.what), str(row.metrics), log


def balance_json(balance: Balance | TriStarError) -> dict[str, object]:
    """The comparison for a script: every figure, `log_most` null where the log sets no upper bound.

    Where nothing was compared, `ok` is null and `problem` says why.
    """
    if isinstance(balance, TriStarError):
        return {"ok": None, "problem": str(balance)}
    return {
        "ok": balance.ok,
        "since": balance.since,
        "requests": balance.requests,
        "attempts": balance.attempts,
        "tokens": balance.tokens,
        "rows": [
            {
                "what": row.what,
                "ok": row.ok,
                "metrics": row.metrics,
                "log_least": row.log_least,
                "log_most": row.log_most,
            }
            for row in balance.rows
        ],
        "notices": balance.notices,
    }

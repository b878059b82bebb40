"""`tristar audit replicas`: the logs of many replicas, copied to one place, verified and asked together."""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tristar.audit.question import MOST_RECORDS, Question, Record
from tristar.audit.signing import VerifierKey
from tristar.audit.verify import verify as check
from tristar.cli.endings import Misused, plain_errors
from tristar.cli.inquiry import matching
from tristar.cli.lines import COLUMNS, cells, print_whole
from tristar.cli.moments import SinceOption, UntilOption, past
from tristar.cli.terminal import FAILED
from tristar.clock import SystemClock

app = typer.Typer(help="The logs of many replicas, copied to one place.", no_args_is_help=True)

_LogsArgument = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="Copies of AUDIT_LOG_DIR, one for each replica.")
]


@app.command()
def verify(
    *,
    logs: _LogsArgument,
    public_key: Annotated[
        list[Path],
        typer.Option("--public-key", metavar="FILE", help="The replicas' public keys; repeatable."),
    ],
) -> None:
    """Verify every log with the key of its own name among these. Exit 1 if any is not good."""
    good = True
    with plain_errors():
        keys = [VerifierKey.load(path) for path in public_key]
        for directory in logs:
            report = check(directory, keys)
            good = good and report.ok
            typer.echo(
                f"{directory}\t{'good' if report.ok else 'BAD'}\t{report.size} records\t{report.origin}"
            )
            for fault in report.faults:
                typer.echo(f"{directory}: {fault}", err=True)
    if not good:
        raise typer.Exit(FAILED)


@app.command()
def query(
    *,
    logs: _LogsArgument,
    since: SinceOption = None,
    until: UntilOption = None,
    level: Annotated[str | None, typer.Option("--level", help="INFO, WARNING, SECURITY…")] = None,
    action: Annotated[str | None, typer.Option("--action", help="llm_call, audit_gap, key_created…")] = None,
    user: Annotated[str | None, typer.Option("--user", help="user_id.")] = None,
    trace: Annotated[str | None, typer.Option("--trace", help="trace_id.")] = None,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, max=MOST_RECORDS, help="How many of each log.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, each with its `log`.")] = False,
) -> None:
    """Print the records that match in any of the logs, oldest first; nothing is written to a copy."""
    with plain_errors():
        clock = SystemClock()
        first, last = past(since, "--since", clock), past(until, "--until", clock)
        try:
            question = Question(first, last, level, action, user, trace, None, limit)
            found = [_of(directory, question) for directory in logs]
        except ValueError as error:
            raise Misused(f"{error}.") from error
    merged = heapq.merge(*found, key=lambda record: str(record["timestamp"]))
    if as_json:
        for record in merged:
            typer.echo(msgspec.json.encode(record))
        return
    print_whole(("LOG", *COLUMNS), [(str(record["log"]), *cells(record)) for record in merged])


def _of(directory: Path, question: Question) -> Iterator[Record]:
    """One log's answer, by time: a clock that was set back does not order its own records."""
    records = [{"log": str(directory), **record} for record in matching(directory, question, writing=False)]
    return iter(sorted(records, key=lambda record: str(record["timestamp"])))

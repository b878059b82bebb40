"""Questions at the command line: filters, answered here, and SQL, answered by a clerk."""

import asyncio
import contextlib
from pathlib import Path

import msgspec
import typer

from tristar.audit import columns
from tristar.audit.bureau import MOST_ROWS, Answer, Bureau
from tristar.audit.question import Question, Record
from tristar.cli.lines import print_whole, shown
from tristar.cli.progress import row_progress
from tristar.cli.terminal import print_json
from tristar.errors import AuditCorrupt

SQL_S = 120.0
SQL_MEMORY_MB = 1024


def matching(directory: Path, question: Question, *, writing: bool = True) -> list[Record]:
    """The records that match; without `writing` no columns are made for it. Raises as `query`."""
    from tristar.audit.query import query  # noqa: PLC0415 - loads DuckDB: for this command only

    if writing:
        prepare(directory)
    return query(directory, question)


def select(directory: Path, sql: str, limit: int) -> Answer:
    """What one SELECT over `audit` finds, `limit` rows and `MOST_ROWS` at the most.

    Raises as `Bureau.sql`.
    """
    prepare(directory)
    bureau = Bureau(directory)
    rows = min(limit, MOST_ROWS)
    return asyncio.run(bureau.sql(sql, rows, seconds=SQL_S, memory_mb=SQL_MEMORY_MB))


def prepare(directory: Path) -> None:
    """Make the columns that are missing. Where that cannot be, questions read the lines themselves."""
    if not columns.missing(directory):
        return
    from tristar.audit.parquet import build  # noqa: PLC0415 - loads DuckDB: where there is something to make

    with contextlib.suppress(AuditCorrupt, OSError), row_progress("Making columns") as progress:
        build(directory, progress)


def print_rows(found: Answer, *, as_json: bool) -> None:
    """The rows as a table, or as JSON; what is missing is said on standard error."""
    if as_json:
        print_json(found)
    else:
        names = [column["name"] for column in found.columns]
        print_whole(names, [[_cell(value) for value in row] for row in found.data])
    if found.truncated:
        typer.echo(f"There are more rows: these are {len(found.data):,} (--limit).", err=True)


def _cell(value: object) -> str:
    return shown(msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value)

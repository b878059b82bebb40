"""SQL from people, over the one table `audit`: it reads that and nothing else, within bounds."""

import datetime as dt
import decimal
from collections.abc import Mapping
from pathlib import Path

import duckdb
import msgspec

from tristar.audit import confinement
from tristar.audit.table import Table, opened
from tristar.errors import BadRequest

ANSWER_BYTES = 16 << 20
_ERROR_CHARS = 500
_LARGEST_WHOLE = 1 << 63


class Column(msgspec.Struct, frozen=True):
    """One column of an answer; `type` as DuckDB names it."""

    name: str
    type: str


class Answer(msgspec.Struct, frozen=True):
    """What a SELECT found; `truncated` where there were more rows than were asked for, or than an answer
    holds."""

    columns: list[Column]
    data: list[list[object]]
    truncated: bool


def run(directory: Path, text: str, rows: int, memory_mb: int) -> Answer:
    """Answer one SELECT over `audit`, `rows` rows at the most.

    Takes the calling process's right to write any file: call it in one that has no other purpose.

    Raises:
        BadRequest: it is not one SELECT, is wrong, reads something else, or takes more memory than there is.
        AuditCorrupt: the active segment has lines that are no records.
    """
    with opened(directory, memory_mb=memory_mb) as table:
        table.lock()
        confinement.deny_growth()
        try:
            return _fetch(_asked(table, text, rows), rows)
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            raise BadRequest(
                f"This takes more than {memory_mb} MB: narrow it by time, or ask for fewer columns.",
                param="sql",
            ) from error
        except duckdb.PermissionException as error:
            raise BadRequest(
                "SQL reads the table `audit` and nothing else: no files, no settings, no extensions.",
                param="sql",
            ) from error
        except (duckdb.Error, UnicodeDecodeError, ValueError) as error:
            raise BadRequest(str(error)[:_ERROR_CHARS], param="sql") from error


def _asked(table: Table, text: str, rows: int) -> duckdb.DuckDBPyConnection:
    if not _is_select(table.connection, text):
        raise BadRequest(
            "One SELECT over the table `audit`, and nothing else: what changes or defines something is"
            " refused.",
            param="sql",
        )
    # Around the question the bound on rows reaches into it: it need not be answered whole.
    bounded = f"FROM (\n{text.rstrip().rstrip(';')}\n) LIMIT {rows + 1}"
    try:
        within = _is_select(table.connection, bounded)
    except duckdb.ParserException:
        within = False  # a semicolon and a comment behind it, say
    return table.connection.execute(bounded if within else text)


def _is_select(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    """Whether this is one SELECT. Raises duckdb.ParserException where it is nothing at all."""
    statements = connection.extract_statements(text)
    return len(statements) == 1 and statements[0].type is duckdb.StatementType.SELECT


def _fetch(found: duckdb.DuckDBPyConnection, rows: int) -> Answer:
    columns = [Column(name, str(kind)) for name, kind, *_ in found.description or ()]
    parsed = [column.type == "JSON" for column in columns]
    data: list[list[object]] = []
    size_bytes = 0
    while batch := found.fetchmany(256):
        for row in batch:
            told = [_told(value, parse) for value, parse in zip(row, parsed, strict=True)]
            size_bytes += len(msgspec.json.encode(told))
            if len(data) == rows or size_bytes > ANSWER_BYTES:
                return Answer(columns, data, truncated=True)
            data.append(told)
    return Answer(columns, data, truncated=False)


def _told(value: object, parse: bool = False) -> object:
    """The value as JSON can say it; text that is JSON is parsed where that is asked."""
    match value:
        case str() if parse:
            return msgspec.json.decode(value)
        case None | bool() | str() | float():
            return value
        case int():
            return value if -_LARGEST_WHOLE <= value < _LARGEST_WHOLE else str(value)
        case decimal.Decimal():
            return float(value) if value.is_finite() else None
        case dt.datetime():
            return _moment(value)
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case Mapping():
            return {str(name): _told(part) for name, part in value.items()}
        case list() | tuple():
            return [_told(part) for part in value]
    return str(value)


def _moment(value: dt.datetime) -> str:
    """UTC as records spell it; `timestamp` has no zone in SQL, and is UTC."""
    utc = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
    return utc.isoformat(timespec="microseconds") + "Z"

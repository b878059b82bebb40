"""Answers to questions: which records match."""

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec

from tristar.audit.columns import COLUMNS
from tristar.audit.export import span
from tristar.audit.question import MOST_RECORDS, Question, Record, field_needle
from tristar.audit.reader import Span
from tristar.audit.subjects import SEALED, SubjectKey, keyring_of, unseal
from tristar.audit.table import corrupt, opened

_ATTEMPTS = 3
_TEXTS = "action, resource, log_level, outcome, user_id, session_id, ip_address, trace_id, event_id, details"
_MOST_SELECTIVE_FIRST = ("trace_id", "user_id", "resource", "action", "log_level")


def query(directory: Path, question: Question) -> list[Record]:
    """The records that match, fields in their order. Blocks; run it in a thread.

    Reads the log as it is at this moment, without a lock; a directory without a log holds no records.
    Closed segments are read from their columns where these are there. What is encrypted for a subject is
    readable, as long as the subject is not erased.

    Raises:
        ValueError: a level, time or limit of the question is none.
        AuditCorrupt: a line that may match is no record.
    """
    if not 1 <= question.limit <= MOST_RECORDS:
        raise ValueError(f"limit is {question.limit}: use 1 to {MOST_RECORDS}, or export")
    wanted, within = question.wanted(), span(question.since, question.until)
    with keyring_of(directory) as keyring:
        user = wanted.get("user_id")
        key = keyring.find(user) if keyring is not None and user is not None else None
        found = _found(directory, question, wanted, within, key)
        opened_up = [unseal(record, keyring) for record in found]
    return [record for record in opened_up if all(record.get(name) == wanted[name] for name in wanted)]


def _found(
    directory: Path, question: Question, wanted: dict[str, str], within: Span, key: SubjectKey | None
) -> list[Record]:
    sql, values = _statement(question, wanted, within, key)
    for attempt in itertools.count(1):
        try:
            with opened(directory, span=within, needle=_needles(wanted, key)) as table:
                return [_record(row) for row in table.connection.execute(sql, values).fetchall()]
        except (duckdb.IOException, FileNotFoundError):
            if attempt == _ATTEMPTS:  # a segment was compressed or deleted under the question
                raise
        except duckdb.Error as error:
            raise corrupt(error) from error
    raise AssertionError("unreachable")


def _needles(wanted: dict[str, str], key: SubjectKey | None) -> tuple[bytes, ...]:
    """Bytes of which every matching line contains one: the most selective field as the encoder writes it."""
    for name in _MOST_SELECTIVE_FIRST:
        if name in wanted:
            needle = field_needle(name, wanted[name])
            return (needle, key.needle) if key is not None and name == "user_id" else (needle,)
    return (b"",)


def _statement(
    question: Question, wanted: dict[str, str], within: Span, key: SubjectKey | None
) -> tuple[str, list[object]]:
    """The question in SQL, and the values of its parameters."""
    conditions = [f"{name} = ?" for name in wanted]
    values: list[object] = list(wanted.values())
    if key is not None:
        at = list(wanted).index("user_id")
        conditions[at] = f"(user_id = ? OR starts_with({SEALED}, ?))"
        values.insert(at + 1, f"v1.{key.id}.")
    for name, sign, value in (
        ("timestamp", ">=", _moment(within.since)),
        ("timestamp", "<=", _moment(within.until)),
        ("seq", "<", question.before_seq),
        ("seq", ">", question.after_seq),
    ):
        if value is not None:
            conditions.append(f"{name} {sign} ?")
            values.append(value)
    if question.text is not None:
        conditions.append(f"contains(lower(concat_ws(' ', {_TEXTS})), lower(?))")
        values.append(question.text)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "DESC" if question.newest_first else "ASC"
    return (
        f"SELECT {', '.join(COLUMNS)} FROM audit{where} ORDER BY seq {order} LIMIT {question.limit}",  # nosec B608 # noqa: S608 - values are parameters
        values,
    )


def _moment(stamp: bytes | None) -> dt.datetime | None:
    return None if stamp is None else dt.datetime.fromisoformat(stamp.decode()).replace(tzinfo=None)


def _record(row: Sequence[object]) -> Record:
    """A row as the line that it was made of would read."""
    record: Record = dict(zip(COLUMNS, row, strict=True))
    stamp, details = record["timestamp"], record["details"]
    if isinstance(stamp, dt.datetime):
        record["timestamp"] = stamp.isoformat(timespec="microseconds") + "Z"
    if isinstance(details, str):
        record["details"] = msgspec.json.decode(details)
    if record[SEALED] is None:
        del record[SEALED]
    return record

"""Questions to the log: which records match, and what came last."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tristar.audit import reader
from tristar.audit.export import Moment, span
from tristar.audit.reader import Snapshot, Span
from tristar.audit.record import level as known_level
from tristar.audit.subjects import Keyring, keyring_of, unseal

MOST_RECORDS = 100_000
"""No answer holds more; export instead."""

_MOST_SELECTIVE_FIRST = ("trace_id", "user_id", "resource", "action", "log_level")

Record = dict[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """What a record must be to match: every field that is given, exactly; times inclusive, naive ones local.

    `limit` records are answered, the newest first, or the oldest first if `newest_first` is off.
    """

    since: Moment | None = None
    until: Moment | None = None
    level: str | None = None
    action: str | None = None
    user_id: str | None = None
    trace_id: str | None = None
    resource: str | None = None
    limit: int = 100
    newest_first: bool = True

    def wanted(self) -> dict[str, str]:
        """The fields that must match, and their values. Raises ValueError for a level that is none."""
        fields = {
            "log_level": None if self.level is None else str(known_level(self.level)),
            "action": self.action,
            "user_id": self.user_id,
            "trace_id": self.trace_id,
            "resource": self.resource,
        }
        return {name: value for name, value in fields.items() if value is not None}


def query(directory: Path, question: Question) -> list[Record]:
    """The records that match, fields in their order. Blocks; run it in a thread.

    Reads the log as it is at this moment, without a lock; a directory without a log holds no records.

    Raises:
        ValueError: a level, time or limit of the question is none.
        AuditCorrupt: a line that may match is no record.
    """
    if not 1 <= question.limit <= MOST_RECORDS:
        raise ValueError(f"limit is {question.limit}: use 1 to {MOST_RECORDS}, or export")
    wanted, within = question.wanted(), span(question.since, question.until)
    with keyring_of(directory) as keyring:
        search = _Search(wanted, within, _needles(wanted, keyring), keyring)
        segments = Snapshot.take(directory).segments
        if question.newest_first:
            return _newest(segments, search, question.limit)
        return _oldest(segments, search, question.limit)


def tail(directory: Path, count: int = 20, after_seq: int | None = None) -> list[Record]:
    """The newest `count` records, oldest of them first; with `after_seq`, only those that came after it.

    To follow the log, ask again with the last record's `seq`. Blocks.

    Raises:
        ValueError: `count` is not between 1 and `MOST_RECORDS`.
    """
    if not 1 <= count <= MOST_RECORDS:
        raise ValueError(f"count is {count}: use 1 to {MOST_RECORDS}, or export")
    lines = Snapshot.take(directory).last(count)
    if after_seq is not None:
        lines = [line for line in lines if reader.position(line).seq > after_seq]
    with keyring_of(directory) as keyring:
        return [unseal(reader.decode(line), keyring) for line in lines]


@dataclass(frozen=True, slots=True)
class _Search:
    """What makes a record match, and what its line is searched for before it is read."""

    wanted: dict[str, str]
    within: Span
    needles: tuple[bytes, ...]
    keyring: Keyring | None

    def over(self, segment: reader.Segment) -> Iterator[Record]:
        """The matching records of one segment, in order."""
        for line in reader.matching(segment, self.within, self.needles):
            record = unseal(reader.decode(line), self.keyring)
            if all(record.get(name) == value for name, value in self.wanted.items()):
                yield record


def _needles(wanted: dict[str, str], keyring: Keyring | None) -> tuple[bytes, ...]:
    """Bytes of which every matching line contains one: the most selective field as the encoder writes it."""
    for name in _MOST_SELECTIVE_FIRST:
        if name in wanted:
            needle = field_needle(name, wanted[name])
            key = keyring.find(wanted[name]) if keyring is not None and name == "user_id" else None
            return (needle,) if key is None else (needle, key.needle)
    return (b"",)


def field_needle(name: str, value: str) -> bytes:
    """A field of a record as it stands in the line."""
    return b'"%s":%s' % (name.encode(), msgspec.json.encode(value))


def _newest(segments: tuple[reader.Segment, ...], search: _Search, limit: int) -> list[Record]:
    found: list[Record] = []
    for segment in reversed(segments):
        matches = deque(search.over(segment), maxlen=limit - len(found))
        found.extend(reversed(matches))
        if len(found) >= limit:
            break
    return found


def _oldest(segments: tuple[reader.Segment, ...], search: _Search, limit: int) -> list[Record]:
    found: list[Record] = []
    for segment in segments:
        for record in search.over(segment):
            found.append(record)
            if len(found) >= limit:
                return found
    return found

"""What the log knows of one person, and forgetting it: by destroying the key, never by changing a line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tristar.audit import reader
from tristar.audit.question import Record, field_needle
from tristar.audit.reader import Snapshot
from tristar.audit.retention import list_holds
from tristar.audit.subjects import SubjectKey, keyring_of, unseal
from tristar.errors import TriStarError

_EXPORTED = b'"action":"audit_exported"'
_MOST_EXPORTS = 1000
_BEYOND = (
    "exports and answers given out before; sealed ones (jsonl) cannot be read any more",
    "what push sinks have received, as far as they received it readable",
    "backups of subjects.keys: destroy them, or the key in them",
    "backups of the database, PostgreSQL's own log (WAL), and what llms were told of memory entries",
)


class Held(TriStarError):
    """A hold keeps records of the subject: nothing was erased.

    Operator action: erase once the hold is released.
    """


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure reached and what it did not; it does not name the subject.

    `subject_key` is the destroyed key's id, None where there was none. `records` were sealed with it and
    cannot be read any more; `in_plain_text` were made while nothing was encrypted and stay until retention.
    `exports` are those made since the first of them. `memory_entries` are deleted with their history.
    """

    subject_key: str | None
    records: int
    first_seq: int | None
    last_seq: int | None
    in_plain_text: int
    exports: tuple[str, ...]
    memory_entries: int = 0
    out_of_reach: tuple[str, ...] = _BEYOND

    def details(self, reason: str) -> dict[str, object]:
        """What the log records of it."""
        return {"reason": reason, **msgspec.to_builtins(self)}


@dataclass(slots=True)
class Survey:
    """What there is of a subject, before it is erased."""

    subject_key: str | None
    stamps: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    in_plain_text: int = 0
    exports: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the log knows nothing of the subject."""
        return self.subject_key is None and not self.seqs

    def receipt(self, memory_entries: int = 0) -> Receipt:
        """The receipt of its erasure, with so many entries of the memory."""
        return Receipt(
            subject_key=self.subject_key,
            records=len(self.seqs) - self.in_plain_text,
            first_seq=min(self.seqs, default=None),
            last_seq=max(self.seqs, default=None),
            in_plain_text=self.in_plain_text,
            exports=tuple(self.exports[:_MOST_EXPORTS]),
            memory_entries=memory_entries,
        )


def records_about(directory: Path, subject: str) -> Iterator[Record]:
    """Every record that names this subject as its `user_id` or `end_user`, or is sealed for it, in order.

    Sealed fields are in their places. Blocks; reads the log as it is at this moment.
    """
    with keyring_of(directory) as keyring:
        key = keyring.find(subject) if keyring is not None else None
        for line in _lines(directory, subject, key):
            record = unseal(reader.decode(line), keyring)
            if (key is not None and key.needle in line) or _names(record, subject):
                yield record


def survey(directory: Path, subject: str) -> Survey:
    """What erasing this subject would reach. Blocks."""
    with keyring_of(directory) as keyring:
        key = keyring.find(subject) if keyring is not None else None
        found = Survey(None if key is None else key.id)
        for line in _lines(directory, subject, key, _EXPORTED):
            record = reader.decode(line)
            if key is not None and key.needle in line:
                _note(found, record)
            elif _names(record, subject):
                found.in_plain_text += 1
                _note(found, record)
            elif found.seqs and record.get("action") == "audit_exported":
                found.exports.append(_exported(record))
    return found


def refuse_held(directory: Path, found: Survey) -> None:
    """Raises Held if a hold in force covers any of these records."""
    if not found.stamps:
        return
    for hold in list_holds(directory):
        if any(hold.covers(stamp, stamp) for stamp in found.stamps):
            raise Held(f"Nothing was erased: the hold {hold.name} keeps records of this subject.")


def destroy(directory: Path, subject: str) -> None:
    """Destroy the subject's key, durably. Blocks. Raises OSError: it may still be there."""
    with keyring_of(directory) as keyring:
        if keyring is not None:
            keyring.destroy(subject)


def _lines(directory: Path, subject: str, key: SubjectKey | None, *more: bytes) -> Iterator[bytes]:
    needles = [field_needle("user_id", subject), field_needle("end_user", subject), *more]
    if key is not None:
        needles.append(key.needle)
    return Snapshot.take(directory).lines(needle=needles)


def _names(record: Record, subject: str) -> bool:
    details = record.get("details")
    return record.get("user_id") == subject or (
        isinstance(details, dict) and details.get("end_user") == subject
    )


def _note(found: Survey, record: Record) -> None:
    found.seqs.append(int(str(record["seq"])))
    found.stamps.append(str(record["timestamp"]))


def _exported(record: Record) -> str:
    details = record.get("details")
    path = details.get("path", "") if isinstance(details, dict) else ""
    return f"{record['timestamp']} {path}".strip()

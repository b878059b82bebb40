"""Signed statements of the tree's size and root, and where they stand on disk.

The text is a C2SP tlog-checkpoint: origin, size, base64 root, then extension lines, as a signed note.

`checkpoint.slots` is the authority: two blocks of 4096 bytes, overwritten in turn, each holding a note
within its first 512 bytes (one sector: never torn) and the tree's frontier behind it. The note's extension
line counts the checkpoints, so the two slots always hold numbers n-1 and n: putting an older one back, or
spoiling the newer one to go back by one, leaves a pair that never existed. `checkpoint` is the same
statement for others to read, without the counter, and follows within a second.
"""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tristar.audit.disk import Disk
from tristar.audit.signing import Note, Signer, VerifierKey
from tristar.audit.tree import EMPTY_ROOT, HASH_BYTES, Frontier
from tristar.errors import AuditCorrupt

CHECKPOINT = "checkpoint"
SLOTS = "checkpoint.slots"
SLOT_BYTES = 4096
NOTE_BYTES = 512
_MARK = "tristar-slot"


@dataclass(frozen=True, slots=True)
class Statement:
    """A checkpoint's content: whose log, how many records, which root."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> bytes:
        """The text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return ("\n".join(lines) + "\n").encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a signed note's body. Raises ValueError."""
        origin, size, root, *extensions = body.decode().removesuffix("\n").split("\n")
        digest = base64.b64decode(root, validate=True)
        if not size.isascii() or not size.isdigit() or size != str(int(size)) or len(digest) != HASH_BYTES:
            raise ValueError("not a checkpoint")
        return cls(origin, int(size), digest, tuple(extensions))


@dataclass(frozen=True, slots=True)
class Slot:
    """One checkpoint of the pair: its number, whether the log was closed in good order, and the frontier.

    `frontier` is None where it does not fit the root; `intact` says that no byte of the block is other than
    written.
    """

    number: int
    closed: bool
    statement: Statement
    frontier: Frontier | None
    intact: bool


def slot_block(signer: Signer, number: int, frontier: Frontier, *, closed: bool) -> bytes:
    """The 4096 bytes of one slot."""
    mark = f"{_MARK} {number} {'closed' if closed else 'open'}"
    note = signer.sign(Statement(signer.name, frontier.size, frontier.root(), (mark,)).body())
    if len(note) > NOTE_BYTES:
        raise ValueError("the key's name is too long for a checkpoint slot")
    return (note.ljust(NOTE_BYTES, b"\0") + frontier.pack()).ljust(SLOT_BYTES, b"\0")


def read_checkpoint(raw: bytes, keys: Sequence[VerifierKey]) -> Statement:
    """Read and check a checkpoint's text. Raises ValueError, saying what is wrong."""
    note = Note.parse(raw)
    statement = Statement.parse(note.body)
    signed_by = note.signer(keys)
    if signed_by is None:
        raise ValueError("its signature is not by a trusted key, or does not fit its text")
    if signed_by.name != statement.origin:
        raise ValueError("its origin is not the signer's")
    return statement


def read_slot(block: bytes, keys: Sequence[VerifierKey]) -> Slot:
    """Read and check one slot. Raises ValueError."""
    note, rest = block[:NOTE_BYTES].rstrip(b"\0"), block[NOTE_BYTES:]
    statement = read_checkpoint(note, keys)
    mark = statement.extensions[0].split(" ") if statement.extensions else []
    if len(mark) != 3 or mark[0] != _MARK or mark[2] not in {"open", "closed"}:
        raise ValueError("it is a checkpoint, but not of a slot")
    frontier = Frontier.unpack(statement.size, rest)
    known = frontier if frontier.root() == statement.root else None
    whole = note.ljust(NOTE_BYTES, b"\0") + frontier.pack().ljust(SLOT_BYTES - NOTE_BYTES, b"\0")
    intact = known is not None and block == whole
    return Slot(int(mark[1]), mark[2] == "closed", statement, known, intact)


def read_slots(path: Path, keys: Sequence[VerifierKey]) -> tuple[Slot, Slot]:
    """The older and the newer checkpoint. Raises AuditCorrupt, naming what is wrong, and OSError."""
    raw = path.read_bytes()
    if len(raw) != 2 * SLOT_BYTES:
        raise AuditCorrupt(f"{path}: {len(raw)} bytes instead of {2 * SLOT_BYTES}")
    slots = []
    for position in (0, 1):
        block = raw[position * SLOT_BYTES : (position + 1) * SLOT_BYTES]
        try:
            slots.append(read_slot(block, keys))
        except ValueError as error:
            raise AuditCorrupt(f"{path}: slot {position}: {error}") from error
    older, newer = sorted(slots, key=lambda slot: slot.number)
    if newer.number != older.number + 1 or slots[newer.number % 2] is not newer:
        raise AuditCorrupt(
            f"{path}: checkpoints {older.number} and {newer.number} are no pair: one was put back"
        )
    if older.statement.size > newer.statement.size:
        raise AuditCorrupt(f"{path}: checkpoint {newer.number} is smaller than the one before it")
    return older, newer


class Slots:
    """The pair of checkpoints, open for writing; used by one thread.

    After a failed sync the file is not written again: `renew` puts a new one in its place.
    """

    def __init__(self, disk: Disk, path: Path, signer: Signer, number: int) -> None:
        self._disk = disk
        self._path = path
        self._descriptor = disk.open(path)
        self._blocks = _blocks(path)
        self.signer = signer
        self.number = number

    @classmethod
    def create(cls, disk: Disk, path: Path, signer: Signer, frontier: Frontier | None = None) -> Self:
        """Put a first pair in place, durably."""
        first = frontier or Frontier()
        blocks = [slot_block(signer, number, first, closed=False) for number in (0, 1)]
        disk.install(path, b"".join(blocks))
        return cls(disk, path, signer, 1)

    def prepare(self, frontier: Frontier, *, closed: bool = False) -> bytes:
        """Sign the next checkpoint; writes nothing."""
        return slot_block(self.signer, self.number + 1, frontier, closed=closed)

    def write(self, block: bytes) -> None:
        """Make the prepared checkpoint durable. OSError: it may or may not be on disk; call `renew`."""
        self._disk.write_whole(self._descriptor, block, (self.number + 1) % 2 * SLOT_BYTES)
        self._disk.fdatasync(self._descriptor)
        self._advance(block)

    def renew(self, block: bytes) -> None:
        """As `write`, through a new file that takes the old one's place."""
        position = (self.number + 1) % 2
        blocks = [block if at == position else self._blocks[at] for at in (0, 1)]
        self._disk.install(self._path, b"".join(blocks))
        fresh = self._disk.open(self._path)
        self._descriptor, old = fresh, self._descriptor
        self._disk.close(old)
        self._advance(block)

    def _advance(self, block: bytes) -> None:
        self.number += 1
        self._blocks[self.number % 2] = block

    def close(self) -> None:
        """Release the file."""
        self._disk.close(self._descriptor)


def _blocks(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    return [raw[:SLOT_BYTES], raw[SLOT_BYTES : 2 * SLOT_BYTES]]


def publish(disk: Disk, directory: Path, signer: Signer, size: int, root: bytes) -> None:
    """Replace `checkpoint`, durably. The tiles it speaks of must be in place."""
    body = Statement(signer.name, size, root).body()
    disk.install(directory / CHECKPOINT, signer.sign(body))


def is_slots_file(path: Path) -> bool:
    """Whether the directory has been a log's."""
    return os.path.lexists(path)


__all__ = [
    "CHECKPOINT",
    "EMPTY_ROOT",
    "SLOTS",
    "Slot",
    "Slots",
    "Statement",
    "publish",
    "read_checkpoint",
    "read_slots",
]

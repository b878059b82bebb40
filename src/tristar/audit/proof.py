"""Proof that one record is in the log, for somebody who has only the public key."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from tristar.audit.checkpoint import CHECKPOINT, Statement, read_checkpoint
from tristar.audit.segments import PACKED, PLAIN, SegmentFile, list_segments
from tristar.audit.signing import Note, VerifierKey
from tristar.audit.tiles import read_entries, read_hashes
from tristar.audit.tree import (
    HASH_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    entry_hash,
    fold,
    leaf_hash,
    proof_nodes,
    root_from_proof,
    subtree,
)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """An inclusion proof of RFC 6962 with all that its check needs but the key.

    `entry` is the SHA-256 of the line in hex; `line` the record itself, None where retention has deleted it;
    `hashes` are in base64, leaf end first; `checkpoint` is the signed note.
    """

    seq: int
    size: int
    entry: str
    line: str | None
    hashes: tuple[str, ...]
    checkpoint: str

    def encode(self) -> bytes:
        """The proof as JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a proof. Raises ValueError."""
        return msgspec.json.decode(raw, type=cls)


def prove(directory: Path, seq: int) -> Proof:
    """The proof that record `seq` is in the log, under the published checkpoint.

    Works while the log is written, and for records that retention has deleted.

    Raises:
        LookupError: there is no such record, or it is not published yet (try again a second later).
        OSError: a tile is missing: verify the log.
    """
    try:
        note = (directory / CHECKPOINT).read_bytes()
    except FileNotFoundError as error:
        raise LookupError(f"{directory}: nothing is published yet") from error
    size = Statement.parse(Note.parse(note).body).size
    if not 0 <= seq < size:
        raise LookupError(f"record {seq}: the published log has {size} records")
    tiles = _Tiles(directory, size)
    hashes = [fold([tiles.node(level, index) for level, index in step]) for step in proof_nodes(seq, size)]
    line = _line(directory, seq)
    index, offset = divmod(seq, TILE_WIDTH)
    entry = entry_hash(line) if line is not None else read_entries(directory, index, offset + 1)[offset]
    return Proof(
        seq=seq,
        size=size,
        entry=entry.hex(),
        line=None if line is None else line.decode(),
        hashes=tuple(base64.b64encode(found).decode() for found in hashes),
        checkpoint=note.decode(),
    )


def check_proof(proof: Proof, public_key: VerifierKey | Sequence[VerifierKey]) -> list[str]:
    """What is wrong with a proof; nothing at all where it holds."""
    keys = [public_key] if isinstance(public_key, VerifierKey) else list(public_key)
    try:
        statement = read_checkpoint(proof.checkpoint.encode(), keys)
        entry = bytes.fromhex(proof.entry)
        hashes = [base64.b64decode(found, validate=True) for found in proof.hashes]
    except ValueError as error:
        return [f"the proof cannot be read: {error}"]
    faults = []
    if proof.line is not None and entry_hash(proof.line.encode()) != entry:
        faults.append("the record is not the one that was proved")
    if statement.size != proof.size:
        faults.append("the proof is for another size than the checkpoint's")
    if any(len(found) != HASH_BYTES for found in hashes):
        faults.append("a hash has the wrong length")
    if root_from_proof(leaf_hash(entry), proof.seq, statement.size, hashes) != statement.root:
        faults.append("the hashes do not lead to the checkpoint's root")
    return faults


class _Tiles:
    """Complete subtrees of the published tree, from as few tiles as hold them."""

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self._size = size
        self._read: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        height = level // TILE_HEIGHT
        within = level % TILE_HEIGHT
        first = index << within
        tile = self._tile(height, first // TILE_WIDTH)
        at = first % TILE_WIDTH
        return subtree(tile[at : at + (1 << within)])

    def _tile(self, height: int, index: int) -> list[bytes]:
        if (height, index) not in self._read:
            width = min(TILE_WIDTH, (self._size >> height * TILE_HEIGHT) - index * TILE_WIDTH)
            self._read[height, index] = read_hashes(self._directory, height, index, width)
        return self._read[height, index]


def _line(directory: Path, seq: int) -> bytes | None:
    """The record itself; None where it is gone."""
    holding = [segment for segment in list_segments(directory) if segment.first <= seq]
    if not holding:
        return None
    segment = holding[-1]
    packed = segment.path.with_name(segment.path.name.removesuffix(PACKED).removesuffix(PLAIN) + PACKED)
    for found in (segment, SegmentFile(segment.first, packed)):
        try:
            for at, line in enumerate(found.lines(), segment.first):
                if at == seq:
                    return line
        except FileNotFoundError:
            continue  # compressed, or deleted, since it was listed
        return None
    return None

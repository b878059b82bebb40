"""Vectors as numbers: packed for the database, and the nearest of many by the signs of their parts.

Loaded only where an embedding llm is configured: it needs NumPy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tristar.memory.entry import Packed

_OVERSAMPLED = 4
_MOST_OVERSAMPLED = 640
_FIRST_ROOM = 1024
_BLOCK = 16_384
_WORDS_AT_ONCE = 3
"""The bits of so many words of 64 are counted within a byte."""

_PART = 128
_GONE = -1
_OUT_OF_SIGHT = 65_535

_SIEVED = 16
"""One in so many, the nearest by their first words, is compared whole."""

_KEPT = 4
"""But so many for each that is wanted, at least."""

_FEW = 4
"""Where no more than one in so many fits, only these are looked at."""


def pack(parts: Sequence[float]) -> Packed:
    """The vector of these parts.

    Raises:
        ValueError: it has no direction: no part, none but zeros, or one that is not finite.
    """
    vector = np.asarray(parts, dtype=np.float64)
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(vector)) if vector.ndim == 1 and vector.size else 0.0
    if not np.isfinite(length) or length == 0:
        raise ValueError("the vector has no direction")
    halves = (vector / length).astype("<f2")
    return Packed(vector.size, halves.tobytes(), np.packbits(halves > 0, bitorder="little").tobytes())


def likeness(vector: bytes, others: bytes) -> list[float]:
    """The cosine of the angle to each of the others, all in one, which have the same number of parts."""
    asked = np.frombuffer(vector, dtype="<f2").astype(np.float32)
    known = np.frombuffer(others, dtype="<f2").astype(np.float32).reshape(-1, len(asked))
    found: list[float] = (known @ asked).tolist()
    return found


class _Table(NamedTuple):
    """The rows in use, all of them from one moment."""

    bits: NDArray[np.uint64]
    seqs: NDArray[np.int64]
    projects: NDArray[np.int32]

    def part(self, count: int) -> "_Table":
        """The first rows."""
        return _Table(self.bits[:, :count], self.seqs[:count], self.projects[:count])


class Neighbours:
    """The signs of every vector of one model and dimension. One thread writes; any may search meanwhile.

    Two vectors of which the signs agree point the same way, roughly: to count the bits that differ takes
    a hundredth of the memory and time of multiplying them. The best are looked at again by their signs
    against the parts of the vector that was asked for.
    """

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._words = -(-dims // 64)
        self._first_words = _first_words(self._words)
        self._room = self._empty(_FIRST_ROOM)
        self._table = self._room.part(0)
        self._project_ids: dict[str, int] = {}
        self._at: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._at)

    def put(self, several: Sequence[tuple[int, bytes, str]]) -> None:
        """Take in vectors, or what they are now: each entry once, with its number, signs and project."""
        for seq, _, _ in several:
            self.drop(seq)
        first = len(self._table.seqs)
        if first + len(several) > len(self._room.seqs):
            first = self._make_room(len(several))
        end = first + len(several)
        signs = b"".join(bits.ljust(self._words * 8, b"\0") for _, bits, _ in several)
        self._room.bits[:, first:end] = np.frombuffer(signs, dtype="<u8").reshape(-1, self._words).T
        self._room.seqs[first:end] = [seq for seq, _, _ in several]
        ids = self._project_ids
        self._room.projects[first:end] = [ids.setdefault(project, len(ids)) for _, _, project in several]
        self._at.update(zip((seq for seq, _, _ in several), range(first, end), strict=True))
        self._table = self._room.part(end)

    def drop(self, seq: int) -> None:
        """Forget entry `seq`."""
        row = self._at.pop(seq, None)
        if row is not None:
            self._room.seqs[row] = _GONE

    def nearest(
        self,
        vector: bytes,
        count: int,
        projects: frozenset[str] | None = None,
        among: Sequence[int] | None = None,
    ) -> list[int]:
        """Up to `count` entries nearest to the vector, best first; of these projects, among these, alone."""
        table = self._table
        asked = np.frombuffer(vector, dtype="<f2").astype(np.float32)
        signs = self._words_of(np.packbits(asked > 0, bitorder="little").tobytes())
        fits = self._eligible(table, projects, among)
        rows = self._roughly(table, signs, fits, max(count, min(_OVERSAMPLED * count, _MOST_OVERSAMPLED)))
        best = rows[np.argsort(-self._closeness(table, rows, asked), kind="stable")[:count]]
        found: list[int] = table.seqs[best].tolist()
        return [seq for seq in found if seq != _GONE]

    def _roughly(
        self, table: _Table, signs: NDArray[np.uint64], fits: NDArray[np.bool_], count: int
    ) -> NDArray[np.intp]:
        """The rows with the fewest bits apart: `count` and all that are equal to the last of them.

        First by some of the words; what is not near by these is not looked at further.
        """
        first, fitting = self._first_words, int(np.count_nonzero(fits))
        if fitting * _FEW <= len(fits):
            rows = np.flatnonzero(fits)
            apart = _apart(table.bits[:first], rows, signs[:first])
        else:
            rows = None
            apart = _swept(table.bits[:first], signs[:first])
            apart[~fits] = _OUT_OF_SIGHT
        if first == self._words:
            return _fewest(apart, count, rows)
        near = _fewest(apart, max(_KEPT * count, fitting // _SIEVED), None)
        rows = near if rows is None else rows[near]
        apart = apart[near] + _apart(table.bits[first:], rows, signs[first:])
        return _fewest(apart, count, rows)

    def _eligible(
        self, table: _Table, projects: frozenset[str] | None, among: Sequence[int] | None
    ) -> NDArray[np.bool_]:
        fits: NDArray[np.bool_] = table.seqs != _GONE
        if projects is not None:
            ids = [self._project_ids[name] for name in projects if name in self._project_ids]
            # One project is the rule: to compare costs a tenth of looking up.
            fits &= table.projects == ids[0] if len(ids) == 1 else np.isin(table.projects, ids)
        if among is not None:
            fits &= np.isin(table.seqs, np.asarray(among, dtype=np.int64))
        return fits

    def _words_of(self, bits: bytes) -> NDArray[np.uint64]:
        return np.frombuffer(bits.ljust(self._words * 8, b"\0"), dtype="<u8")

    def _closeness(
        self, table: _Table, rows: NDArray[np.intp], asked: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How much of the vector lies where the signs are positive: it ranks as the product with them."""
        octets = np.ascontiguousarray(table.bits[:, rows].T).view(np.uint8)
        close = np.empty(len(rows), dtype=np.float32)
        for first in range(0, len(rows), _PART):
            some = octets[first : first + _PART]
            positive = np.unpackbits(some, axis=1, bitorder="little")[:, : self._dims]
            close[first : first + _PART] = positive.astype(np.float32) @ asked
        return close

    def _empty(self, rows: int) -> _Table:
        return _Table(
            np.zeros((self._words, rows), dtype=np.uint64),
            np.full(rows, _GONE, dtype=np.int64),
            np.zeros(rows, dtype=np.int32),
        )

    def _make_room(self, more: int) -> int:
        """Room for so many more, and as many again, without those that are gone; the first that is free."""
        old = self._room
        kept = np.flatnonzero(old.seqs != _GONE)
        count = int(kept.size)
        self._room = room = self._empty(max(_FIRST_ROOM, 2 * (count + more)))
        room.bits[:, :count], room.seqs[:count], room.projects[:count] = (part[..., kept] for part in old)
        self._at = {seq: row for row, seq in enumerate(room.seqs[:count].tolist())}
        return count


def _first_words(words: int) -> int:
    """By how many of the words vectors are sieved.

    Three of each eight: of vectors like those of texts, 384 parts to 3,072, as many of the nearest are found
    as by all words, within one in a hundred (docs/decisions/0006-vectors-in-the-process.md).
    """
    return min(words, _WORDS_AT_ONCE * -(-words // 8))


def _swept(words: NDArray[np.uint64], signs: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """How many bits each row differs by.

    Block by block, so that what is in between stays in the processor's cache and needs no new pages.
    """
    total = words.shape[1]
    apart = np.zeros(total, dtype=np.uint16)
    differing = np.empty((_WORDS_AT_ONCE, _BLOCK), dtype=np.uint64)
    bits = np.empty((_WORDS_AT_ONCE, _BLOCK), dtype=np.uint8)
    for first in range(0, total, _BLOCK):
        block = apart[first : first + _BLOCK]
        for word in range(0, len(words), _WORDS_AT_ONCE):
            some = words[word : word + _WORDS_AT_ONCE, first : first + _BLOCK]
            part = slice(len(some)), slice(len(block))
            np.bitwise_xor(some, signs[word : word + len(some), None], out=differing[part])
            several = np.bitwise_count(differing[part], out=bits[part])
            for other in several[1:]:
                several[0] += other
            block += several[0]
    return apart


def _apart(
    words: NDArray[np.uint64], rows: NDArray[np.intp], signs: NDArray[np.uint64]
) -> NDArray[np.uint16]:
    """How many bits these rows differ by."""
    apart = np.zeros(len(rows), dtype=np.uint16)
    for word, sign in zip(words, signs, strict=True):
        apart += np.bitwise_count(word[rows] ^ sign)
    return apart


def _fewest(apart: NDArray[np.uint16], count: int, rows: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Where the `count` smallest are and all that equal the last of them; of `rows`, if they are these."""
    if not len(apart):
        return np.zeros(0, dtype=np.intp)
    last = min(count, len(apart)) - 1
    most = min(int(np.partition(apart, last)[last]), _OUT_OF_SIGHT - 1)
    found = np.flatnonzero(apart <= most)
    return found if rows is None else rows[found]

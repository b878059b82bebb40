"""One segment, read for verification: its leaves, and what is wrong with its lines. Runs in a process of
its own."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import zstandard

from tristar.audit.segments import PACKED, PLAIN, SegmentFile, line_seq, list_manifests
from tristar.audit.tiles import ENTRIES, pack_entries, tile_path, widest_hashes
from tristar.audit.tree import HASH_BYTES, TILE_WIDTH, entry_hash, hash_lines, leaf_hash, subtree

UNKNOWN = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: the file, the record (None: the file as a whole), and what it is.

    `last` is the last record of a range that `seq` begins.
    """

    file: str
    seq: int | None
    problem: str
    last: int | None = None

    def __str__(self) -> str:
        where = self.file if self.seq is None else f"{self.file}: record {self.seq}"
        return f"{where}: {self.problem}"


@dataclass(slots=True)
class Scan:
    """What a segment contributes. `roots` are of the tiles that lie in it whole, `leaves` of the others'."""

    first: int
    end: int
    name: str
    roots: dict[int, bytes] = field(default_factory=dict)
    leaves: dict[int, dict[int, bytes]] = field(default_factory=dict)
    suspect_tiles: dict[int, list[bytes]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    reported: set[int] = field(default_factory=set)
    beyond: int = 0
    torn_bytes: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """What to scan: a segment and the number after its last signed record; the tiles whose leaves are
    wanted."""

    directory: Path
    segment: SegmentFile
    end: int
    last: bool
    wanted: frozenset[int]
    packed_sha256: str


def scan(task: Task) -> Scan:
    """Read one segment. Raises FileNotFoundError where it is gone."""
    try:
        return _Scanner(task).result()
    except FileNotFoundError:
        return _Scanner(task).result()  # it was compressed just when it was opened, or is gone


class _Scanner:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._segment = _present(task.segment)
        self._first = task.segment.first
        self._count = max(0, task.end - self._first)
        self._scan = Scan(self._first, task.end, f"segments/{self._segment.path.name}")
        self._entries: list[bytes] = []
        self._leaves: list[bytes] = []
        self._surplus: list[bytes] = []

    def result(self) -> Scan:
        self._check_packed()
        self._read()
        leaves = self._leaves
        if len(leaves) != self._count or self._surplus or not self._tiles_agree(leaves):
            leaves = self._aligned()
        self._sort_in(leaves)
        return self._scan

    def _fault(self, seq: int | None, problem: str, last: int | None = None) -> None:
        self._scan.faults.append(Fault(self._scan.name, seq, problem, last))
        if seq is not None:
            self._scan.reported.add(seq)

    def _check_packed(self) -> None:
        if not self._segment.packed:
            return
        with self._segment.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        wanted = self._task.packed_sha256 or self._packed_since()
        if not wanted:
            self._fault(None, "its manifest is missing or damaged")
        elif found != wanted:
            self._fault(None, "the compressed file is not the one that was written")

    def _packed_since(self) -> str:
        """By its manifest as it is now: the segment may have been compressed after manifests were listed."""
        manifest = list_manifests(self._task.directory).get(self._first)
        return "" if manifest is None else manifest.packed_sha256

    def _read(self) -> None:
        """Hash the lines; those behind the last signed record are set aside."""
        held: list[bytes] | None = None
        try:
            for block in self._segment.blocks():
                self._take(held or [])
                held = block
            self._take((held or [b""])[:-1])
            self._take_rest((held or [b""])[-1])
        except zstandard.ZstdError as error:
            self._take(held or [])
            self._fault(self._first + len(self._entries), f"cannot be decompressed from here on: {error}")

    def _take(self, lines: list[bytes]) -> None:
        room = self._count - len(self._entries) if self._task.last else len(lines)
        entries, leaves = hash_lines(lines[:room])
        self._entries += entries
        self._leaves += leaves
        self._surplus += lines[room:]
        self._scan.size_bytes += sum(map(len, lines)) + len(lines)

    def _take_rest(self, rest: bytes) -> None:
        if len(self._entries) < self._count:
            return  # a record cut short is a missing record, and is reported so
        if rest and not self._task.last:
            self._fault(None, f"{len(rest)} bytes follow the last line")
        else:
            self._scan.torn_bytes = len(rest)

    def _tiles_agree(self, leaves: list[bytes]) -> bool:
        """Whether the stored tiles hold exactly these leaves, as far as they reach."""
        at = 0
        while at < len(leaves):
            index, offset = divmod(self._first + at, TILE_WIDTH)
            width = min(TILE_WIDTH - offset, len(leaves) - at)
            stored = widest_hashes(self._task.directory, 0, index)
            known = stored[offset : offset + width]
            if known != leaves[at : at + len(known)]:
                return False
            at += width
        return True

    def _aligned(self) -> list[bytes]:
        """The leaves by number instead of by place, after saying which lines are not where they should be."""
        seqs, leaves = self._numbered()
        by_seq = self._placed(seqs)
        result, held, stored = [], -1, list[bytes]()
        for seq in range(self._first, self._first + self._count):
            place = by_seq.get(seq)
            if place is not None:
                result.append(leaves[place])
                continue
            index, offset = divmod(seq, TILE_WIDTH)
            if index != held:
                held, stored = index, widest_hashes(self._task.directory, 0, index)
            result.append(stored[offset] if offset < len(stored) else UNKNOWN)
        return result

    def _numbered(self) -> tuple[list[int | None], list[bytes]]:
        """What the lines say of themselves, read once more, and their leaves.

        Among lines too many there may be signed records, pushed back; the others are beyond the checkpoint.
        """
        seqs: list[int | None] = []
        leaves = list(self._leaves)
        with contextlib.suppress(zstandard.ZstdError):  # reported before
            seqs.extend(map(line_seq, islice(self._segment.lines(), len(leaves))))
        seqs += [None] * (len(leaves) - len(seqs))
        for line in self._surplus:
            seq = line_seq(line)
            if seq is not None and seq >= self._task.end:
                self._scan.beyond += 1
            else:
                seqs.append(seq)
                leaves.append(leaf_hash(entry_hash(line)))
        return seqs, leaves

    def _placed(self, seqs: list[int | None]) -> dict[int, int]:
        """Which line is which record; removed, added, repeated and moved lines become faults."""
        by_seq, previous, end = dict[int, int](), self._first - 1, self._first + self._count
        claims = {seq for seq in seqs if seq is not None}
        for place, claimed in enumerate(seqs):
            seq = claimed
            if seq is None or not self._first <= seq < end:
                seq = previous + 1
                if seq in claims or seq >= end:
                    self._fault(previous, f"is followed by a line that is no record of this place: {claimed}")
                    continue
                self._fault(seq, "its number was altered")
            if seq in by_seq:
                self._fault(seq, "is there twice")
                continue
            if seq < previous:
                self._fault(seq, "is not in its place")
            by_seq[seq] = place
            previous = max(previous, seq)
        self._missing(by_seq, end)
        return by_seq

    def _missing(self, by_seq: dict[int, int], end: int) -> None:
        missing = [seq for seq in range(self._first, end) if seq not in by_seq]
        for first, last in _runs(missing):
            more = "" if first == last else f", and all up to record {last}"
            self._fault(first, f"is missing{more}", last)
            self._scan.reported.update(range(first, last + 1))

    def _sort_in(self, leaves: list[bytes]) -> None:
        """Hand whole tiles on as roots, the rest as leaves; keep what the tiles on disk say otherwise."""
        for index, at, part in _by_tile(self._first, leaves):
            whole = len(part) == TILE_WIDTH
            if whole:
                self._scan.roots[index] = subtree(part)
            if not whole or index in self._task.wanted:
                self._scan.leaves[index] = dict(enumerate(part, at))
            stored = widest_hashes(self._task.directory, 0, index)
            offset = at % TILE_WIDTH
            known = stored[offset : offset + len(part)]
            if known != part[: len(known)]:
                self._scan.suspect_tiles[index] = stored
                self._scan.leaves[index] = dict(enumerate(part, at))
            elif whole and not self._entries_agree(index, at):
                path = tile_path(self._task.directory, ENTRIES, index)
                name = str(path.relative_to(self._task.directory))
                self._scan.faults.append(Fault(name, None, "is missing or not what the records say"))

    def _entries_agree(self, index: int, at: int) -> bool:
        """Whether the entry bundle fits; it may be missing where the tile is not written yet."""
        raw = self._bundle(index)
        if raw is None and not tile_path(self._task.directory, 0, index).exists():
            return True
        raw = raw or self._bundle(index)  # it is written before the tile: by now it is there, or gone
        if raw is None:
            return False
        start = at - self._first
        known = self._entries[start : start + TILE_WIDTH]
        return self._scan.reported != set() or raw == pack_entries(known)

    def _bundle(self, index: int) -> bytes | None:
        try:
            return tile_path(self._task.directory, ENTRIES, index).read_bytes()
        except OSError:
            return None


def _present(segment: SegmentFile) -> SegmentFile:
    """The segment under the name it has now: it may have been compressed since it was listed."""
    if segment.path.exists():
        return segment
    packed = segment.path.with_name(segment.path.name.removesuffix(PACKED).removesuffix(PLAIN) + PACKED)
    if not packed.exists():
        raise FileNotFoundError(str(segment.path))
    return SegmentFile(segment.first, packed)


def _by_tile(first: int, leaves: list[bytes]) -> Iterator[tuple[int, int, list[bytes]]]:
    at = 0
    while at < len(leaves):
        index, offset = divmod(first + at, TILE_WIDTH)
        width = min(TILE_WIDTH - offset, len(leaves) - at)
        yield index, first + at, leaves[at : at + width]
        at += width


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    start = previous = None
    for number in numbers:
        if previous is None or number != previous + 1:
            if start is not None and previous is not None:
                yield start, previous
            start = number
        previous = number
    if start is not None and previous is not None:
        yield start, previous

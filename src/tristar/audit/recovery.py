"""From what a crash, or anything else, left on disk to a state that the writer can go on from.

What the newest checkpoint covers must be there, to the last bit, or nothing is started. Whole records behind
it were written but not acknowledged: they are kept and marked. What follows the last whole record is moved
to quarantine.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from tristar.audit.checkpoint import SLOTS, Slot, Slots, is_slots_file, read_slots
from tristar.audit.disk import Disk
from tristar.audit.gaps import Gaps, read_gaps
from tristar.audit.segments import (
    MANIFESTS,
    QUARANTINE,
    SEGMENTS,
    Manifest,
    SegmentFile,
    is_record,
    line_stamp,
    list_manifests,
    list_segments,
)
from tristar.audit.signing import KeyInvalid, Rotation, Signer, VerifierKey
from tristar.audit.tiles import TILES
from tristar.audit.tree import HASH_BYTES, Frontier, hash_lines
from tristar.errors import AuditCorrupt

KEYS = "keys"
HOLDS = "holds"
DIRECTORIES = (SEGMENTS, MANIFESTS, QUARANTINE, TILES, KEYS, HOLDS)


@dataclass(frozen=True, slots=True)
class Grown:
    """Records that entered the tree: what the tiles are made of."""

    entries: Sequence[bytes]
    leaves: Sequence[bytes]
    boundary: dict[int, list[bytes]]
    frontier: Frontier

    @classmethod
    def of(cls, tree: Frontier, lines: Sequence[bytes]) -> Self:
        """What these lines, without their newlines, add to this tree."""
        entries, leaves = hash_lines(lines)
        growth = tree.extend(leaves)
        return cls(entries, leaves, growth.boundary, growth.frontier)


@dataclass(frozen=True, slots=True)
class Closed:
    """A segment that is complete, and the tree after its last line."""

    first: int
    frontier: Frontier


@dataclass(frozen=True, slots=True)
class Tail:
    """The last segment as recovered: where the writer goes on."""

    path: Path
    first: int
    size_bytes: int
    records: int
    day: str


@dataclass(slots=True)
class Recovered:
    """The state to go on from, and what had to be done to reach it."""

    frontier: Frontier
    tiles_from: Frontier
    gaps: Gaps
    tail: Tail | None = None
    backlog: list[Grown | Closed] = field(default_factory=list)
    fresh: bool = False
    unclean: bool = False
    kept: int = 0
    quarantined_bytes: int = 0
    quarantined_files: list[str] = field(default_factory=list)

    def details(self) -> dict[str, object]:
        """What the log records of it."""
        return {
            "tree_size": self.frontier.size,
            "unacknowledged_kept": self.kept,
            "quarantined_bytes": self.quarantined_bytes,
            "quarantined": self.quarantined_files,
        }


def accepted_keys(directory: Path, signer: Signer) -> list[VerifierKey]:
    """The signer's key and those whose signed rotations lead to it."""
    accepted, rotations = [signer.verifier], read_rotations(directory)
    while found := [r for r in rotations if r.successor in accepted and r.predecessor not in accepted]:
        accepted.extend(rotation.predecessor for rotation in found)
    return accepted


def read_rotations(directory: Path) -> list[Rotation]:
    """The rotations stored beside the log that bear a good signature."""
    rotations = []
    for path in sorted((directory / KEYS).glob("*.json")):
        try:
            rotations.append(Rotation.from_details(msgspec.json.decode(path.read_bytes())))
        except (msgspec.DecodeError, KeyInvalid):
            continue  # it proves nothing, so it is as if it were not there
    return rotations


def make_directories(disk: Disk, directory: Path) -> None:
    """Make the log's folders; their names are durable once this returns."""
    disk.make_directory(directory)
    for name in DIRECTORIES:
        disk.make_directory(directory / name, durable=False)
    disk.sync_directory(directory)


def recover(disk: Disk, directory: Path, signer: Signer, now: Callable[[], float]) -> Recovered:
    """Bring the directory into order; the caller holds its lock.

    Raises:
        AuditCorrupt: what a checkpoint covers is missing or altered; only names were touched, no content.
        OSError: the disk failed.
    """
    path = directory / SLOTS
    segments = list_segments(directory)
    if not is_slots_file(path):
        if segments or list_manifests(directory):
            raise AuditCorrupt(f"{path} is missing, but there are segments: removed, or a partial restore")
        Slots.create(disk, path, signer).close()
        return Recovered(Frontier(), Frontier(), Gaps(), fresh=True)
    keys = accepted_keys(directory, signer)
    newer = read_slots(path, keys)[1]
    run = _Run(disk, directory, newer, read_gaps(directory, keys), now)
    return run.result(segments)


class _Run:
    """One recovery of a log that has been written before."""

    def __init__(self, disk: Disk, directory: Path, slot: Slot, gaps: Gaps, now: Callable[[], float]) -> None:
        self._disk = disk
        self._directory = directory
        self._slot = slot
        self._size = slot.statement.size
        self._now = now
        self._manifests = list_manifests(directory)
        self._state = Recovered(Frontier(), Frontier(), gaps, unclean=not slot.closed)

    def result(self, segments: list[SegmentFile]) -> Recovered:
        start, rest = self._last_manifest(segments)
        self._check_closed(segments[: len(segments) - len(rest)], start.size)
        self._state.frontier = self._state.tiles_from = start
        if start.size > self._size:
            raise AuditCorrupt(f"{self._directory / SLOTS}: covers {self._size} records, the segments more")
        for position, segment in enumerate(rest):
            following = rest[position + 1].first if position + 1 < len(rest) else None
            self._scan(segment, following)
        if not self._mended():
            self._compare()
        return self._state

    def _mended(self) -> bool:
        """Whether an operator has accepted that the lines up to the checkpoint do not lead to it."""
        reset = next((found for found in self._state.gaps.resets if found.size == self._size), None)
        found = self._state.frontier
        if reset is None or found.size > self._size or found.root() == self._slot.statement.root:
            return False
        if found.size < self._size and not self._state.gaps.covers(found.size, self._size):
            return False
        self._state.frontier = self._state.tiles_from = reset.load()
        self._state.tail = None
        self._state.backlog.clear()
        return True

    def _last_manifest(self, segments: list[SegmentFile]) -> tuple[Frontier, list[SegmentFile]]:
        """The tree at the end of the last compressed segment, and the segments after it."""
        for manifest in sorted(self._manifests.values(), key=lambda found: -found.first):
            later = [segment for segment in segments if segment.first >= manifest.end]
            earlier = [s for s in segments if s.first < manifest.end]
            if manifest.end <= self._size and all(s.packed or self._given_up(s.first) for s in earlier):
                return _frontier_of(self._directory, manifest), later
        return Frontier(), segments

    def _given_up(self, first: int) -> bool:
        """Whether a segment that was never compressed was damaged, and accepted so."""
        return any(a >= first for a, _ in self._state.gaps.accepted)

    def _check_closed(self, segments: list[SegmentFile], end: int) -> None:
        """Every number before `end` is in a segment that is there, or in a signed gap."""
        expected, begins = 0, [segment.first for segment in segments]
        for segment, following in zip(segments, [*begins[1:], end], strict=False):
            self._check_hole(expected, segment.first)
            manifest = self._manifests.get(segment.first)
            expected = manifest.end if manifest else following  # what it lacks was given up
        self._check_hole(expected, end)

    def _check_hole(self, first: int, end: int) -> None:
        if first > end:
            raise AuditCorrupt(f"{self._directory / SEGMENTS}: segments overlap at record {end}")
        if first < end and not self._state.gaps.covers(first, end):
            raise AuditCorrupt(f"{self._directory / SEGMENTS}: records {first} to {end - 1} are missing")

    def _scan(self, segment: SegmentFile, following: int | None) -> None:
        """Take in one segment that has no manifest yet."""
        state = self._state
        if following is not None and following > self._size:
            raise AuditCorrupt(f"{segment.path}: goes beyond the {self._size} records that are signed")
        self._begin(segment.first)
        reader = _Reader(segment, state, self._size if following is None else following)
        reader.read()
        if following is None and self._mended():
            return  # the segment stays as it is; the log goes on in a new one
        if following is None:
            self._keep(reader)
        if reader.rest_bytes and (following is None or state.frontier.size == following):
            self._quarantine(segment, reader.good_bytes, reader.rest_bytes)
        if following is None:
            records = state.frontier.size - segment.first
            day = reader.day or self._today()
            state.tail = Tail(segment.path, segment.first, reader.good_bytes, records, day)
        elif state.frontier.size == following:
            state.backlog.append(Closed(segment.first, state.frontier))

    def _bridge(self, first: int) -> None:
        """Step over accepted damage: the tree goes on from a recorded frontier, now or further on."""
        size, resets = self._state.frontier.size, self._state.gaps.resets
        if first < size or not self._state.gaps.covers(size, first) or all(r.size < first for r in resets):
            raise AuditCorrupt(
                f"{self._directory / SEGMENTS}: {size} records lead up to the segment beginning with {first}"
            )
        unknown = Frontier.unpack(first, bytes(HASH_BYTES * first.bit_count()))
        self._state.frontier = unknown

    def _begin(self, first: int) -> None:
        """At the start of a segment: go on from what was recorded for this place."""
        if first != self._state.frontier.size:
            self._bridge(first)
        reset = next((found for found in self._state.gaps.resets if found.size == first), None)
        if reset is not None and reset.size > 0:
            self._state.frontier = self._state.tiles_from = reset.load()
            self._state.backlog.clear()

    def _keep(self, reader: "_Reader") -> None:
        """Behind the checkpoint: whole records stay, unless the log had been closed."""
        self._compare()
        if not self._slot.closed:
            before = self._state.frontier.size
            reader.keep_whole()
            self._state.kept = self._state.frontier.size - before

    def _compare(self) -> None:
        """The tree is what the checkpoint says."""
        found = self._state.frontier
        if found.size < self._size:
            raise AuditCorrupt(
                f"{self._directory / SEGMENTS}: truncated: {found.size} to {self._size - 1} are missing"
            )
        if found.size == self._size and found.root() != self._slot.statement.root:
            raise AuditCorrupt(
                f"{self._directory / SEGMENTS}: {self._state.tiles_from.size} to {self._size - 1} "
                "are not the records that were signed: run `tristar audit verify` to name them"
            )

    def _quarantine(self, segment: SegmentFile, good_bytes: int, rest_bytes: int) -> None:
        """Move what follows the good lines into a file of its own, then cut it off."""
        if segment.packed:
            raise AuditCorrupt(f"{segment.path}: has more lines than the next segment's name leaves room for")
        name = f"{segment.path.name}.{good_bytes}.{int(self._now())}"
        with segment.path.open("rb") as file:
            file.seek(good_bytes)
            self._disk.install(self._directory / QUARANTINE / name, file.read())
        descriptor = self._disk.open(segment.path)
        try:
            self._disk.truncate(descriptor, good_bytes)
            self._disk.fdatasync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._state.quarantined_bytes += rest_bytes
        self._state.quarantined_files.append(name)

    def _today(self) -> str:
        return utc_day(self._now())


class _Reader:
    """Reads one segment into the tree: up to a number of records, then as far as they are whole."""

    def __init__(self, segment: SegmentFile, state: Recovered, stop: int) -> None:
        self._segment = segment
        self._state = state
        self._stop = stop
        self._surplus: list[bytes] = []
        self.good_bytes = 0
        self.rest_bytes = 0
        self.day = ""

    def read(self) -> None:
        """Take the lines up to `stop`; what follows is counted as rest."""
        blocks = self._segment.blocks()
        for block, last in _with_last(blocks):
            lines = block[:-1] if last else block
            wanted = max(0, self._stop - self._state.frontier.size)
            self._take(lines[:wanted])
            surplus = [line + b"\n" for line in lines[wanted:]] + ([block[-1]] if last else [])
            self._surplus += [piece for piece in surplus if piece]
        self.rest_bytes = sum(map(len, self._surplus))

    def keep_whole(self) -> None:
        """Take also those of the surplus lines that are whole records with the next numbers."""
        first, kept = self._state.frontier.size, []
        for at, piece in enumerate(self._surplus):
            if not piece.endswith(b"\n") or not is_record(piece[:-1], first + at):
                break
            kept.append(piece[:-1])
        self._take(kept)
        self._surplus = self._surplus[len(kept) :]
        self.rest_bytes = sum(map(len, self._surplus))

    def _take(self, lines: list[bytes]) -> None:
        if not lines:
            return
        if not self.day:
            self.day = line_stamp(lines[0])[:10]
        grown = Grown.of(self._state.frontier, lines)
        self._state.frontier = grown.frontier
        self._state.backlog.append(grown)
        self.good_bytes += sum(map(len, lines)) + len(lines)


def _with_last(blocks: Iterator[list[bytes]]) -> Iterator[tuple[list[bytes], bool]]:
    held: list[bytes] | None = None
    for block in blocks:
        if held is not None:
            yield held, False
        held = block
    if held is not None:
        yield held, True


def _frontier_of(directory: Path, manifest: Manifest) -> Frontier:
    try:
        packed = msgspec.json.decode(f'"{manifest.frontier}"', type=bytes)
        return Frontier.unpack(manifest.end, packed)
    except (ValueError, msgspec.DecodeError) as error:
        raise AuditCorrupt(f"{directory / MANIFESTS}: the manifest of {manifest.first} is damaged") from error


def utc_day(at: float) -> str:
    """The date in UTC, as a timestamp begins."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))

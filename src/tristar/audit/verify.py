"""Offline verification: with the public key alone, and without writing anything.

Every line is hashed and the tree built anew. If its root is the signed one, all lines are as they were
written; if not, the signed root is followed down through whatever stored hashes still lead to it, to the
record at fault.
"""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tristar.audit.checkpoint import CHECKPOINT, SLOTS, Slot, Statement, read_checkpoint, read_slots
from tristar.audit.gaps import Gaps, read_gaps
from tristar.audit.grove import Grove
from tristar.audit.location import Location
from tristar.audit.recovery import read_rotations
from tristar.audit.scan import Fault, Scan, Task, scan
from tristar.audit.segments import SEGMENTS, SegmentFile, list_manifests, list_segments
from tristar.audit.signing import VerifierKey, trusted_keys
from tristar.audit.tilecheck import check_tiles
from tristar.audit.tree import TILE_WIDTH
from tristar.errors import AuditCorrupt, TriStarError

__all__ = ["Fault", "NothingToVerify", "Report", "verify"]

Progress = Callable[[int, int], None]

_INLINE_BYTES = 32 << 20
_ELSEWHERE = "the checkpoint kept elsewhere"
_NO_ANCHOR = (
    "no anchor is configured, and no checkpoint kept elsewhere was given (--expect-checkpoint): an older "
    "copy of the whole log, put back, could not be told apart"
)


class NothingToVerify(TriStarError):
    """The directory is not an audit log: no checkpoint, no segments."""


@dataclass(slots=True)
class Report:
    """What was found: `ok` where nothing is wrong. `notices` are true statements that are no fault."""

    size: int
    root: bytes
    origin: str
    segments: int = 0
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every acknowledged record is there, unaltered and in its place."""
        return not self.faults

    def told(self) -> dict[str, object]:
        """The report for a program; `last` ends a range that `record` begins."""
        return {
            "ok": self.ok,
            "size": self.size,
            "root": self.root.hex(),
            "origin": self.origin,
            "segments": self.segments,
            "read_bytes": self.read_bytes,
            "faults": [
                {"file": f.file, "record": f.seq, "last": f.last, "problem": f.problem} for f in self.faults
            ],
            "notices": self.notices,
        }


def verify(
    directory: Path,
    public_key: VerifierKey | Sequence[VerifierKey],
    expect_checkpoint: bytes | None = None,
    progress: Progress | None = None,
    *,
    anchored: Sequence[tuple[str, bytes]] = (),
    workers: int | None = None,
) -> Report:
    """Check the whole log; may run while it is written, and looks at what was signed when it began.

    `expect_checkpoint` is the text of a checkpoint kept elsewhere: the log must contain it, and so must it
    those in `anchored`, which have names for the report. `progress` is told bytes done and bytes in all.
    `workers` is the number of processes (default: one per core).

    Raises:
        NothingToVerify: there is no log in the directory.
        OSError: something could not be read.
    """
    if not (directory / SLOTS).exists() and not (directory / SEGMENTS).is_dir():
        raise NothingToVerify(f"{directory}: no audit log here: check AUDIT_LOG_DIR")
    given = [public_key] if isinstance(public_key, VerifierKey) else list(public_key)
    keys = trusted_keys(given, read_rotations(directory))
    run = _Verification(directory, keys, progress or _silent, workers or os.cpu_count() or 1)
    expected = [] if expect_checkpoint is None else [(_ELSEWHERE, expect_checkpoint)]
    return run.result([*expected, *anchored])


def _silent(done: int, total: int) -> None:
    """Progress for nobody."""


class _Verification:
    def __init__(self, directory: Path, keys: list[VerifierKey], progress: Progress, workers: int) -> None:
        self._directory = directory
        self._keys = keys
        self._progress = progress
        self._workers = workers
        self._faults: list[Fault] = []
        self._notices: list[str] = []
        self._gaps = Gaps()
        self._missing: list[range] = []

    def result(self, elsewhere: Sequence[tuple[str, bytes]]) -> Report:
        # In this order: what is published was in the slots before.
        note, slot = self._note(), self._slot()
        if slot is None:
            return Report(0, b"", "", faults=self._faults, notices=self._notices)
        self._read_gaps()
        published, expected = self._published(note, slot), self._expected(elsewhere, slot)
        known = [found for found in (published, *expected.values()) if found is not None]
        wanted = {found.size for found in known} | {reset.size for reset in self._gaps.resets}
        scans = self._scan(slot, {size // TILE_WIDTH for size in (*wanted, slot.statement.size)})
        grove = Grove(slot.statement.size, scans, self._directory)
        self._faults += [f for found in scans for f in found.faults if not self._given_up(f)]
        self._judge(grove, slot, scans, published)
        self._compare(grove, CHECKPOINT, published)
        for name, statement in expected.items():
            self._compare(grove, name, statement)
        self._tail(scans, slot)
        report = Report(slot.statement.size, slot.statement.root, slot.statement.origin, len(scans))
        report.read_bytes = sum(found.size_bytes for found in scans)
        report.faults, report.notices = self._faults, self._notices
        return report

    # --- what is signed

    def _slot(self) -> Slot | None:
        try:
            pair = read_slots(self._directory / SLOTS, self._keys)
        except FileNotFoundError:
            self._faults.append(Fault(SLOTS, None, "is missing"))
            return None
        except AuditCorrupt as error:
            self._faults.append(Fault(SLOTS, None, str(error)))
            return None
        for slot in pair:
            if not slot.intact:
                self._faults.append(
                    Fault(SLOTS, None, f"checkpoint {slot.number} was altered beside its signed text")
                )
        return pair[1]

    def _read_gaps(self) -> None:
        try:
            self._gaps = read_gaps(self._directory, self._keys)
        except AuditCorrupt as error:
            self._faults.append(Fault("manifests/gaps", None, str(error)))
        for first, end in self._gaps.accepted:
            self._notices.append(
                f"records {first} to {end - 1} were given up by an operator (audit_recovered)"
            )
        for first, end in self._gaps.rewound:
            self._notices.append(f"the log was set back by an operator from record {end} to {first}")
        for first, end in self._gaps.deleted:
            self._notices.append(f"records {first} to {end - 1} were deleted by retention (audit_retention)")

    def _note(self) -> bytes | None:
        path = self._directory / CHECKPOINT
        return path.read_bytes() if path.exists() else None

    def _published(self, note: bytes | None, slot: Slot) -> Statement | None:
        note = self._note() if note is None and slot.closed else note
        if note is None:
            if slot.closed:
                self._faults.append(Fault(CHECKPOINT, None, "is missing"))
            return None
        try:
            found = read_checkpoint(note, self._keys)
        except ValueError as error:
            self._faults.append(Fault(CHECKPOINT, None, f"is damaged: {error}"))
            return None
        return self._fitting(found, slot, CHECKPOINT)

    def _newest_size(self) -> int:
        """How many records the published checkpoint covers by now; 0 where it is none."""
        try:
            return read_checkpoint(self._note() or b"", self._keys).size
        except ValueError:
            return 0

    def _fitting(self, found: Statement, slot: Slot, name: str) -> Statement | None:
        if found.origin != slot.statement.origin:
            self._faults.append(Fault(name, None, f"is of another log, {found.origin}"))
        elif found.size > slot.statement.size and self._superseded(name, found):
            return None
        elif found.size > slot.statement.size:
            problem = f"covers {found.size} records, the log ends at {slot.statement.size}: it was put back"
            self._faults.append(Fault(name, None, problem))
        else:
            return found
        return None

    def _superseded(self, name: str, found: Statement) -> bool:
        """Whether an operator has announced that the last records of this checkpoint were set back."""
        if not any(first < found.size <= end for first, end in self._gaps.rewound):
            return False
        said = f"{name} covers {found.size} records: the last of them were set back, as announced"
        self._notices.append(said)
        return True

    def _expected(self, elsewhere: Sequence[tuple[str, bytes]], slot: Slot) -> dict[str, Statement | None]:
        """What was kept elsewhere, by name; None where it fits this log's end or origin in no way."""
        if not elsewhere:
            self._notices.append(_NO_ANCHOR)
        found: dict[str, Statement | None] = {}
        for name, raw in elsewhere:
            try:
                found[name] = self._fitting(read_checkpoint(raw, self._keys), slot, name)
            except ValueError as error:
                self._faults.append(Fault(name, None, f"cannot be used: {error}"))
        return found

    def _compare(self, grove: Grove, name: str, statement: Statement | None) -> None:
        if statement is None or any(statement.size < reset.size for reset in self._gaps.resets):
            return  # a tree that was mended by an operator has no root of its own from before
        if grove.root(statement.size) != statement.root and not self._superseded(name, statement):
            problem = f"its root is not that of the log's first {statement.size} records"
            self._faults.append(Fault(name, None, problem))

    # --- what is there

    def _scan(self, slot: Slot, wanted: set[int]) -> list[Scan]:
        tasks = self._tasks(slot, frozenset(wanted))
        sizes = [_size_bytes(task.segment) for task in tasks]
        scans, done = [], 0
        for found, size_bytes in zip(self._run(tasks, sum(sizes)), sizes, strict=True):
            if found is not None:
                scans.append(found)
            done += size_bytes
            self._progress(done, sum(sizes))
        return scans

    def _run(self, tasks: list[Task], total: int) -> Iterator[Scan | None]:
        """The scans in order; None for a segment that retention took meanwhile."""
        if self._workers == 1 or len(tasks) < 2 or total < _INLINE_BYTES:
            yield from map(self._scanned, tasks)
            return
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(self._workers, mp_context=context) as pool:
            futures = [pool.submit(scan, task) for task in tasks]
            for task, future in zip(tasks, futures, strict=True):
                yield self._scanned(task, future)

    def _scanned(self, task: Task, future: "concurrent.futures.Future[Scan] | None" = None) -> Scan | None:
        try:
            return future.result() if future is not None else scan(task)
        except FileNotFoundError:
            self._gaps = read_gaps(self._directory, self._keys)
            self._check_hole(task.segment.first, task.end)
            return None

    def _tasks(self, slot: Slot, wanted: frozenset[int]) -> list[Task]:
        """The segments to read; what lies between them must be a signed gap."""
        size, manifests = slot.statement.size, list_manifests(self._directory)
        segments = [segment for segment in self._segments() if segment.first < size or not segment.packed]
        self._check_hole(0, segments[0].first if segments else size)
        tasks = []
        for position, segment in enumerate(segments):
            last = position + 1 == len(segments)
            end = size if last else segments[position + 1].first
            manifest = manifests.get(segment.first) if segment.packed else None
            if manifest is not None and manifest.end < end:
                self._check_hole(manifest.end, end)
                end = manifest.end
            packed = manifest.packed_sha256 if manifest is not None else ""
            tasks.append(Task(self._directory, segment, end, last, wanted, packed))
        return tasks

    def _segments(self) -> list[SegmentFile]:
        return list_segments(self._directory) if (self._directory / SEGMENTS).is_dir() else []

    def _check_hole(self, first: int, end: int) -> None:
        if first < end and not self._gaps.covers(first, end):
            self._faults.append(
                Fault(SEGMENTS, first, f"is missing, and all up to record {end - 1}", end - 1)
            )
            self._missing.append(range(first, end))

    # --- judgement

    def _judge(self, grove: Grove, slot: Slot, scans: list[Scan], published: Statement | None) -> None:
        location = Location(self._directory, grove)
        for reset in self._gaps.resets:
            location.locate(reset.load())
        signed = grove.root(grove.size) == slot.statement.root
        if not signed:
            location.locate(slot.frontier)
        self._blame(location, scans)
        if not signed and not self._faults:
            self._faults.append(Fault(SLOTS, None, "the log's lines do not lead to its root"))
        bound = published.size if published is not None else 0
        known = {(fault.file, fault.problem) for fault in self._faults}
        found = check_tiles(
            self._directory,
            grove,
            bound,
            self._gaps.accepted,
            closed=slot.closed,
            newest=self._newest_size,
        )
        for name, problem in found:
            if (name, problem) not in known:
                self._faults.append(Fault(name, None, problem))

    def _blame(self, location: Location, scans: list[Scan]) -> None:
        """Name the records whose lines are not those that were signed, unless they were named before."""
        reported = {seq for found in scans for seq in found.reported}
        for seq in location.altered:
            if not self._excused(seq, seq, reported):
                self._faults.append(Fault(_file_of(scans, seq), seq, "was altered"))
        for first, last in location.vague:
            if not self._excused(first, last, reported):
                problem = f"this or a later record up to {last} was altered, and the tree's tiles with it"
                self._faults.append(Fault(_file_of(scans, first), first, problem, last))

    def _given_up(self, fault: Fault) -> bool:
        """Whether an operator has accepted this damage."""
        if fault.seq is None:
            return False
        end = (fault.seq if fault.last is None else fault.last) + 1
        return any(first <= fault.seq and end <= stop for first, stop in self._gaps.accepted)

    def _excused(self, first: int, last: int, reported: set[int]) -> bool:
        """Whether it is known already why these records are not right.

        A range of which one record was given up is excused whole: the tree cannot tell more.
        """
        if any(first <= seq <= last for seq in reported):
            return True
        if any(span.start <= last and first < span.stop for span in self._missing):
            return True
        return any(a <= last and first < b for a, b in self._gaps.accepted)

    def _tail(self, scans: list[Scan], slot: Slot) -> None:
        """What lies behind the newest checkpoint: nothing in a closed log, work under way in an open one."""
        for found in scans:
            if not found.beyond and not found.torn_bytes:
                continue
            said = f"{found.beyond} records and {found.torn_bytes} bytes behind the newest checkpoint"
            if slot.closed:
                self._faults.append(
                    Fault(found.name, slot.statement.size, f"{said} of a log that was closed")
                )
            else:
                self._notices.append(
                    f"{found.name}: {said}: being written, or left by a crash, unacknowledged"
                )


def _size_bytes(segment: SegmentFile) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:
        return 0


def _file_of(scans: Sequence[Scan], seq: int) -> str:
    return next((found.name for found in scans if found.first <= seq < found.end), SEGMENTS)

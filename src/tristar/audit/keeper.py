"""The housekeeping behind the writer: tiles, the published checkpoint, compression, retention, the
directory's size.

Nothing here is on the way to an acknowledgement, and everything can be done again after a crash.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import zstandard

from tristar.audit import columns
from tristar.audit.archive import archive
from tristar.audit.checkpoint import publish
from tristar.audit.disk import Disk
from tristar.audit.gaps import Gaps, write_gaps
from tristar.audit.options import WriterOptions
from tristar.audit.recovery import Closed, Grown, Recovered
from tristar.audit.reserve import used_bytes
from tristar.audit.retention import cutoff_stamp, expired, list_holds, stamps
from tristar.audit.segments import (
    PACKED,
    Manifest,
    SegmentFile,
    list_manifests,
    list_segments,
    manifest_path,
    segment_path,
)
from tristar.audit.signing import Signer
from tristar.audit.tiles import TileWriter
from tristar.audit.tree import Frontier
from tristar.clock import Clock
from tristar.errors import AuditCorrupt

_log = logging.getLogger(__name__)

_RETENTION_EVERY_S = 3600.0
_MEASURE_EVERY_S = 60.0
_FEED_BLOCK = 4096
_ROUND_S = 0.25

Own = Callable[[str, str, Mapping[str, object], Callable[[], None] | None], None]


class Keeper:
    """One thread of housekeeping; `note` and the readings may be used from any thread."""

    def __init__(
        self,
        *,
        disk: Disk,
        directory: Path,
        options: WriterOptions,
        signer: Signer,
        clock: Clock,
        own: Own,
        recovered: Recovered,
        floor: Callable[[], int | None],
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._options = options
        self._signer = signer
        self._resign = False
        self._clock = clock
        self._own = own
        self._floor = floor
        self._gaps = recovered.gaps
        self._start = recovered.tiles_from
        self._tiles = TileWriter(disk, directory)
        self._tiles_ready = False
        self._inbox: deque[Grown | Closed] = deque(recovered.backlog)
        self._closing: deque[Closed] = deque()
        self._done: deque[list[Manifest]] = deque()
        self._tree = self._start
        self._published = -1
        self._requested: set[int] = set()
        self._retention_due_s = self._measure_due_s = float("-inf")
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="audit-keeper", daemon=True)
        self.used_bytes = 0
        self.warning = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def note(self, item: Grown | Closed) -> None:
        """Hand over what was committed, in order."""
        self._inbox.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def adopt(self, signer: Signer) -> None:
        """Sign with this key from now on, and once more what is in force."""
        self._signer, self._resign = signer, True
        self._wake.set()

    def stop(self) -> None:
        """Do what is outstanding, once, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        pause = threading.Event()
        while not self._stopping:
            self._attempt(self._round)
            self._wake.wait(self._options.publish_s)
            if not self._stopping:
                pause.wait(min(_ROUND_S, self._options.publish_s))  # one round for many batches
            self._wake.clear()
        self._attempt(self._last_round)

    def _attempt(self, work: Callable[[], None]) -> None:
        """Run one round; a fault is shown and the round tried again, never the writer stopped."""
        try:
            work()
        except (OSError, AuditCorrupt, zstandard.ZstdError) as error:
            if self.warning != str(error):
                _log.error("audit housekeeping failed, will be tried again: %s", error)
            self.warning = str(error)
        except Exception as error:  # noqa: BLE001 - the thread's last resort: the records do not depend on it
            if not self.warning:
                _log.exception("audit housekeeping failed, will be tried again")
            self.warning = f"audit housekeeping failed: {type(error).__name__}: {error}"
        else:
            self.warning = ""

    def _round(self) -> None:
        self._delete_recorded()
        self._load_tiles()
        self._take_in()
        self._publish()
        now_s = self._clock.monotonic()
        if now_s >= self._measure_due_s:
            self._measure_due_s = now_s + _MEASURE_EVERY_S
            self.used_bytes = used_bytes(self._directory)
        if now_s >= self._retention_due_s:
            self._retention_due_s = now_s + _RETENTION_EVERY_S
            self._retain()

    def _last_round(self) -> None:
        self._delete_recorded()
        self._load_tiles()
        self._take_in()
        self._tiles.write_partial()
        self._tiles.sync()
        self._publish()

    def _load_tiles(self) -> None:
        """Continue the stored tiles where the unarchived records begin; build them again if they are not
        right."""
        if self._tiles_ready:
            return
        if not self._loaded():
            if self._gaps.resets:
                self._tiles.assume(self._start.size)
            else:
                self._rebuild()
        self._tiles.take_over()
        self._tiles_ready = True

    def _loaded(self) -> bool:
        try:
            self._tiles.load(self._start.size)
        except FileNotFoundError:
            return False
        return self._tiles.fits(self._start)

    def _rebuild(self) -> None:
        """Make the tiles from the segments, where those are all there."""
        if self._gaps.covers(0, 1):
            raise AuditCorrupt(
                f"{self._directory}/tile: damaged, and the records under it are deleted: restore a backup"
            )
        self._tiles = TileWriter(self._disk, self._directory)
        tree, lines = Frontier(), []
        for segment in list_segments(self._directory):
            for line in segment.lines():
                lines.append(line)
                if len(lines) == _FEED_BLOCK or tree.size + len(lines) == self._start.size:
                    tree, lines = self._feed_lines(tree, lines), []
                if tree.size == self._start.size:
                    return
        if tree.size != self._start.size:
            raise AuditCorrupt(
                f"{self._directory}/tile: cannot be rebuilt: only {tree.size} records were found"
            )

    def _feed_lines(self, tree: Frontier, lines: list[bytes]) -> Frontier:
        grown = Grown.of(tree, lines)
        self._tiles.feed(grown.entries, grown.leaves, grown.boundary)
        self._tiles.write_complete()
        return grown.frontier

    def _take_in(self) -> None:
        self._tiles.write_complete()
        while self._closing or self._inbox:
            if self._closing:
                self._archive(self._closing[0])
                self._closing.popleft()
                self._retention_due_s = float("-inf")
                continue
            self._take_one(self._inbox.popleft())

    def _take_one(self, item: Grown | Closed) -> None:
        if isinstance(item, Closed):
            self._closing.append(item)
            return
        self._tree = item.frontier
        self._tiles.feed(item.entries, item.leaves, item.boundary)
        before = self._tiles.written_bytes
        self._tiles.write_complete()
        self.used_bytes += self._tiles.written_bytes - before

    def _archive(self, closed: Closed) -> None:
        self._tiles.write_partial()
        self._tiles.sync()
        manifest = archive(self._disk, self._directory, closed, self._options.compress_level)
        self.used_bytes -= manifest.plain_bytes - manifest.packed_bytes

    def _publish(self) -> None:
        if self._resign:
            self._resign, self._published = False, -1
            if self._gaps != Gaps():
                write_gaps(self._disk, self._directory, self._signer, self._gaps)
        if self._tree.size == self._published:
            return
        self._tiles.write_partial()
        publish(self._disk, self._directory, self._signer, self._tree.size, self._tree.root())
        self._published = self._tree.size
        self._tiles.prune()

    def _retain(self) -> None:
        """Have the log record what is to be deleted; the deletion follows once that is durable."""
        manifests = list_manifests(self._directory)
        cutoff = cutoff_stamp(self._clock.time(), self._options.retention_days)
        found = [
            manifest
            for manifest in expired(manifests.values(), cutoff, list_holds(self._directory), self._floor())
            if manifest.first not in self._requested and self._really_expired(manifest, cutoff)
        ]
        if not found:
            return
        self._requested.update(manifest.first for manifest in found)
        deleted = self._gaps.with_deleted(*((m.first, m.end) for m in found)).deleted
        self._own(
            "audit_retention",
            "audit/segments",
            _deletion(found, deleted, cutoff),
            lambda: self._done.append(found),
        )

    def _really_expired(self, manifest: Manifest, cutoff: str) -> bool:
        """The manifest is not evidence: the lines themselves are asked."""
        path = segment_path(self._directory, manifest.first, PACKED)
        if not path.exists():
            return False
        return "" < stamps(SegmentFile(manifest.first, path))[1] < cutoff

    def _delete_recorded(self) -> None:
        """Delete what the log says is deleted: the signed gap first, the file next, the manifest's mark
        last."""
        while self._done:
            found = self._done[0]
            self._gaps = self._gaps.with_deleted(*((m.first, m.end) for m in found))
            write_gaps(self._disk, self._directory, self._signer, self._gaps)
            for manifest in found:
                self._delete(manifest)
            self._done.popleft()

    def _delete(self, manifest: Manifest) -> None:
        path = segment_path(self._directory, manifest.first, PACKED)
        self._disk.unlink(path)
        columns.remove(self._directory, manifest.first)
        self._disk.sync_directory(path.parent)
        self.used_bytes -= manifest.packed_bytes
        marked = msgspec.structs.replace(manifest, deleted=True)
        with contextlib.suppress(OSError):
            self._disk.install(manifest_path(self._directory, manifest.first), marked.encode())

    @property
    def gaps(self) -> Gaps:
        """The holes that are accounted for."""
        return self._gaps


def _deletion(found: list[Manifest], deleted: tuple[tuple[int, int], ...], cutoff: str) -> dict[str, object]:
    return {
        "expired_before": cutoff,
        "segments": [
            {
                "first": m.first,
                "last": m.end - 1,
                "records": m.records,
                "sha256": m.sha256,
                "newest": m.newest,
                "root": m.root,
            }
            for m in found
        ],
        "deleted_ranges": [list(span) for span in deleted],
    }

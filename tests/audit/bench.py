"""What the tests of the log on disk share: drafts, a disk that fails on command, and a writer to use it."""

import errno
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tristar.audit.disk import Disk
from tristar.audit.draft import Draft
from tristar.audit.segments import list_segments
from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.clock import Clock, ManualClock
from tristar.errors import AuditUnavailable

START_S = 1_750_000_000.0


def draft(event_id: str, *, at_s: float = START_S, action: str = "llm_call", details: object = None) -> Draft:
    """A record as the library encodes one."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{int(at_s % 1 * 1e6):06d}Z"
    head = (
        f'{{"timestamp":"{stamp}","trace_id":"{0:032x}","action":"{action}","resource":"r","log_level":"INFO"'
    )
    tail = f',"event_id":"{event_id}","details":{json.dumps(details or {})}}}'
    return Draft(f'{head},"seq":'.encode(), tail.encode(), event_id)


@dataclass
class Own:
    """Makes the writer's own records, stamped by the same clock."""

    clock: Clock
    seed: str = ""
    made: int = 0

    def __call__(self, action: str, resource: str, details: Mapping[str, object]) -> Draft:
        """One record, with an id of its own."""
        self.made += 1
        name = f"{self.seed or f'own-{id(self)}'}-{self.made}"
        return draft(name, at_s=self.clock.time(), action=action, details=dict(details))


@dataclass
class Fates:
    """An `on_commit` that remembers."""

    durable: list[object] = field(default_factory=list)
    failed: list[object] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, tokens: Sequence[object], error: AuditUnavailable | None) -> None:
        """See `AuditWriter.open`."""
        with self.changed:
            (self.failed if error else self.durable).extend(tokens)
            self.changed.notify_all()

    def wait(self, count: int, timeout_s: float = 10) -> None:
        """Return once so many records have a fate."""
        with self.changed:
            arrived = self.changed.wait_for(lambda: len(self.durable) + len(self.failed) >= count, timeout_s)
        assert arrived, f"{len(self.durable)} durable and {len(self.failed)} failed of {count}"


@dataclass
class FaultyDisk(Disk):
    """Notes the calls that change the disk and their threads; fails those that `rule` names.

    `rule(name)` answers None, or an errno, or (errno, True) for a call that fails but whose effect stays.
    """

    rule: Callable[[str], object] = lambda _name: None
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _at(self, name: str, work: Callable[[], object]) -> object:
        with self.lock:
            verdict = self.rule(name)
            self.calls.append((name, threading.current_thread().name))
        if verdict is None:
            return work()
        code, persists = verdict if isinstance(verdict, tuple) else (verdict, False)
        if persists:
            work()
        raise OSError(code, f"injected {errno.errorcode[code]} at {name}")

    def create(self, path: Path) -> int:
        """Counted, and failed on command."""
        return int(str(self._at("create", lambda: super(FaultyDisk, self).create(path))))

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Counted, and failed on command."""
        return int(str(self._at("pwrite", lambda: super(FaultyDisk, self).pwrite(descriptor, data, offset))))

    def fdatasync(self, descriptor: int) -> None:
        """Counted, and failed on command."""
        self._at("fdatasync", lambda: super(FaultyDisk, self).fdatasync(descriptor))

    def fsync(self, descriptor: int) -> None:
        """Counted, and failed on command."""
        self._at("fsync", lambda: super(FaultyDisk, self).fsync(descriptor))

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Counted, and failed on command."""
        self._at("truncate", lambda: super(FaultyDisk, self).truncate(descriptor, size_bytes))

    def replace(self, source: Path, target: Path) -> None:
        """Counted, and failed on command."""
        self._at("replace", lambda: super(FaultyDisk, self).replace(source, target))

    def unlink(self, path: Path) -> None:
        """Counted, and failed on command."""
        self._at("unlink", lambda: super(FaultyDisk, self).unlink(path))


@dataclass
class Bench:
    """A directory with a key, and writers on it."""

    root: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START_S))
    fates: Fates = field(default_factory=Fates)

    @property
    def directory(self) -> Path:
        """The audit directory."""
        return self.root / "audit"

    @property
    def signer(self) -> Signer:
        """The log's key."""
        return Signer.load_or_create(self.root / "data", name="tristar-audit/test/00000001")

    def open(self, options: WriterOptions | None = None, *, disk: Disk | None = None) -> AuditWriter:
        """A writer whose records' fates go to `fates`."""
        return AuditWriter.open(
            self.directory,
            options=options or WriterOptions(publish_s=0.05, reserve_bytes=4096),
            signer=self.signer,
            clock=self.clock,
            on_commit=self.fates,
            internal=Own(self.clock),
            disk=disk,
        )

    def write(self, count: int, *, options: WriterOptions | None = None, prefix: str = "e") -> list[str]:
        """Open, append so many records, close; returns their event ids."""
        ids = [f"{prefix}{number}" for number in range(count)]
        writer, before = self.open(options), len(self.fates.durable)
        for event_id in ids:
            writer.append(draft(event_id, at_s=self.clock.time()), event_id)
        writer.close()
        assert self.fates.durable[before:] == ids
        return ids

    def lines(self) -> list[bytes]:
        """All lines on disk, in order."""
        return [line for segment in list_segments(self.directory) for line in segment.lines()]

    def records(self) -> list[dict[str, object]]:
        """All records on disk, in order."""
        return [json.loads(line) for line in self.lines()]

    def event_ids(self) -> list[str]:
        """The callers' records on disk, in order; the writer's own are left out."""
        return [str(r["event_id"]) for r in self.records() if not str(r["event_id"]).startswith("own-")]

"""What the tests of the sinks share: a log that grows, a receiver that does as it is told, and patience."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit.bench import Bench, draft

from tristar.audit.sinks.cursor import Cursor, CursorFile
from tristar.audit.sinks.opening import open_receiver
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.pump import Pump
from tristar.audit.sinks.receiver import Entry, Receiver, SinkDown
from tristar.audit.sinks.spool import Spool
from tristar.audit.writer import AuditWriter, WriterOptions

SMALL = WriterOptions(max_segment_bytes=20_000, publish_s=0.02, reserve_bytes=4096)
"""Segments of some eighty records."""
LINGER_S = 0.05
OPTIONS = SinkOptions(name="siem", batch_records=50, linger_s=LINGER_S, timeout_s=5.0)


def wait(condition: Callable[[], object], within_s: float = 30.0) -> bool:
    """Whether it became true in time."""
    pause = threading.Event()
    for _ in range(round(within_s / 0.01)):
        if condition():
            return True
        pause.wait(0.01)
    return False


class NoJitter:
    """The least that full jitter can be."""

    def uniform(self, a: float, b: float) -> float:
        """See `Random`."""
        return min(a, b)


@dataclass
class Obedient:
    """A receiver that keeps what it acknowledges. `rule(batch)` may raise, or return what to refuse."""

    rule: Callable[[Sequence[Entry]], int] = lambda _batch: 0
    got: list[Entry] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    closed: int = 0

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver`."""
        self.batches.append([entry.seq for entry in batch])
        try:
            refused = self.rule(batch)
        except SinkDown as down:
            self.got += batch[: down.acknowledged]
            raise
        self.got += batch
        return refused

    def close(self) -> None:
        """See `Receiver`."""
        self.closed += 1

    @property
    def seqs(self) -> list[int]:
        """The numbers of what was acknowledged, in order."""
        return [entry.seq for entry in self.got]


@dataclass
class Rig:
    """A log, and a pump on it."""

    bench: Bench
    writer: AuditWriter
    told: list[tuple[str, str]] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        """The log's."""
        return self.bench.directory

    def append(self, count: int, prefix: str = "e", details: object = None) -> list[str]:
        """Write so many records and wait until they are durable."""
        ids = [f"{prefix}{number}" for number in range(count)]
        before = len(self.bench.fates.durable)
        for event_id in ids:
            self.writer.append(draft(event_id, at_s=self.bench.clock.time(), details=details), event_id)
        self.bench.fates.wait(before + count)
        return ids

    def cursor(self, name: str = "siem") -> Cursor:
        """The cursor as it stands on disk."""
        found = CursorFile(self.directory, name).load()
        assert found is not None
        return found

    @contextlib.contextmanager
    def pumping(self, receiver: Receiver | None = None, options: SinkOptions = OPTIONS) -> Iterator[Pump]:
        """A pump at work; to this receiver, else to what the options name."""
        pump = Pump(
            options,
            open_receiver if receiver is None else lambda _: receiver,
            spool=Spool(self.directory, lambda: self.writer.size),
            cursor=CursorFile(self.directory, options.name),
            durable=lambda: self.writer.size,
            random=NoJitter(),
            told=lambda name, reason: self.told.append((name, reason)),
        )
        pump.start()
        try:
            yield pump
        finally:
            pump.halt()
            assert pump.join(30)

    def deliver_all(self, receiver: Receiver | None = None, options: SinkOptions = OPTIONS) -> None:
        """Pump until nothing is left."""
        with self.pumping(receiver, options) as pump:
            assert wait(lambda: self.delivered(options.name)), pump.reading()

    def delivered(self, name: str = "siem") -> bool:
        """Whether the cursor has reached the end."""
        found = CursorFile(self.directory, name).load()
        return found is not None and found.next == self.writer.size


@contextlib.contextmanager
def open_rig(root: Path, options: WriterOptions = SMALL) -> Iterator[Rig]:
    """A rig on a log of its own."""
    bench = Bench(root)
    writer = bench.open(options)
    try:
        yield Rig(bench, writer)
    finally:
        writer.close()


def entries(lines: Sequence[bytes]) -> list[Entry]:
    """Lines as a sink gets them."""
    return [Entry(seq, f"e{seq}", line) for seq, line in enumerate(lines)]

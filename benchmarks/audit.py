"""What the audit log costs on this machine: `python benchmarks/audit.py [DIRECTORY]`.

Prints the device's own fdatasync beside every figure that depends on it. Needs about 400 MB of disk.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tristar.audit.draft import Draft
from tristar.audit.segments import list_segments
from tristar.audit.signing import Signer
from tristar.audit.verify import verify
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.clock import SystemClock
from tristar.errors import AuditUnavailable

LINE_BYTES = 600


def draft(number: int) -> Draft:
    """A record of 600 bytes on disk."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000Z"
    head = f'{{"timestamp":"{stamp}","trace_id":"{number:032x}","action":"llm_call","resource":"/v1/chat",'
    head += '"log_level":"INFO","seq":'
    tail = f',"event_id":"{number:032x}","details":{{"pad":"'
    pad = os.urandom(LINE_BYTES // 2).hex()[: LINE_BYTES - len(head) - len(tail) - 12]
    return Draft(head.encode(), f'{tail}{pad}"}}}}'.encode(), f"{number:032x}")


class Fates:
    """Counts what became durable, and when."""

    def __init__(self) -> None:
        self.count = 0
        self.at: dict[object, float] = {}
        self.reached = threading.Event()
        self.goal = 1 << 62
        self.batches = 0

    def __call__(self, tokens: Sequence[object], error: AuditUnavailable | None) -> None:
        now = time.perf_counter()
        if error is not None:
            raise error
        self.batches += 1
        for token in tokens:
            if token is not None:
                self.at[token] = now
        self.count += len(tokens)
        if self.count >= self.goal:
            self.reached.set()

    def expect(self, more: int) -> None:
        """Set `reached` after so many more."""
        self.reached.clear()
        self.goal = self.count + more


def internal(action: str, resource: str, details: Mapping[str, object]) -> Draft:
    """The writer's own records."""
    return draft(hash((action, resource, len(details), time.monotonic_ns())) & ((1 << 64) - 1))


def percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3


def show(name: str, values: Sequence[float]) -> None:
    """One line of percentiles."""
    print(f"{name:<58} p50 {percentile(values, 0.5):7.3f} ms   p99 {percentile(values, 0.99):7.3f} ms")


def device(directory: Path, records: int) -> list[float]:
    """Append so many records and fdatasync, again and again."""
    data, took = os.urandom(LINE_BYTES * records), []
    path = directory / "device"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for _ in range(800):
        began = time.perf_counter()
        os.write(descriptor, data)
        os.fdatasync(descriptor)
        took.append(time.perf_counter() - began)
    os.close(descriptor)
    path.unlink()
    return took


def single(writer: AuditWriter, fates: Fates) -> list[float]:
    """One record after the other, each waited for."""
    took = []
    for number in range(1_500):
        fates.expect(1)
        item = draft(number)
        began = time.perf_counter()
        writer.append(item, number)
        fates.reached.wait()
        took.append(fates.at[number] - began)
    return took


def paced(writer: AuditWriter, fates: Fates, rate: int, seconds: float) -> list[float]:
    """Open loop: records arrive at this rate; how long each waits for its acknowledgement."""
    count = int(rate * seconds)
    drafts, sent = [draft(number) for number in range(count)], {}
    fates.expect(count)
    began = time.perf_counter()
    for number, item in enumerate(drafts):
        due = began + number / rate
        while (ahead := due - time.perf_counter()) > 0:
            time.sleep(min(ahead, 0.0005))
        token = ("paced", number)
        sent[token] = time.perf_counter()
        writer.append(item, token)
    fates.reached.wait()
    return [fates.at[token] - at for token, at in sent.items()]


def throughput(writer: AuditWriter, fates: Fates, count: int) -> float:
    """As many as it takes, the queue never empty: durable records per second."""
    drafts = [draft(number) for number in range(count)]
    fates.expect(count)
    began = time.perf_counter()
    for item in drafts:
        while True:
            with contextlib.suppress(AuditUnavailable):
                writer.append(item)
                break
            time.sleep(0.001)
    fates.reached.wait()
    return count / (time.perf_counter() - began)


async def stall(work: Callable[[], object]) -> list[float]:
    """How late an event loop's timer of 1 ms is while this runs in a thread."""
    late, done = [], asyncio.ensure_future(asyncio.to_thread(work))
    while not done.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)
    return late


def main() -> None:
    """Run everything."""
    root = Path(tempfile.mkdtemp(prefix="audit-benchmark-", dir=sys.argv[1] if len(sys.argv) > 1 else None))
    directory, signer, fates = root / "audit", Signer.load_or_create(root / "data"), Fates()

    def opened(**options: object) -> AuditWriter:
        return AuditWriter.open(
            directory,
            options=WriterOptions(**{"max_segment_bytes": 64 << 20, **options}),  # type: ignore[arg-type]  # by name
            signer=signer,
            clock=SystemClock(),
            on_commit=fates,
            internal=internal,
        )

    try:
        for records in (1, 100, 1_000):
            show(f"device: append {records} x {LINE_BYTES} bytes, fdatasync", device(root, records))
        writer = opened()
        show("acknowledgement, one record at a time", single(writer, fates))
        for rate in (1_000, 5_000, 10_000):
            before = fates.batches
            took = paced(writer, fates, rate, 3)
            show(f"acknowledgement at {rate}/s ({len(took) / (fates.batches - before):.1f} per batch)", took)
        cpu = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cpu)})
        per_s = throughput(writer, fates, 200_000)
        print(f"{'durable records/s, one core, producer included':<58} {per_s:,.0f}")
        os.sched_setaffinity(0, cpu)
        writer.close()
        writer = opened(max_segment_bytes=3 << 20)
        show("event-loop timer of 1 ms, alone: how late", asyncio.run(stall(lambda: time.sleep(3))))
        late = asyncio.run(stall(lambda: paced(writer, fates, 5_000, 5)))
        show("the same at 5,000/s, a rotation each second", late)
        print(f"{'the same, p99.9':<58} {percentile(late, 0.999):.2f} ms")
        writer.close()
        size = sum(len(chunk) for segment in list_segments(directory) for chunk in segment.chunks())
        began = time.perf_counter()
        report = verify(directory, signer.verifier, workers=1)
        took_s = time.perf_counter() - began
        speed = size / took_s / 1e6
        print(f"{'verify, one core':<58} {speed:,.0f} MB/s ({report.size} records, ok: {report.ok})")
        shutil.rmtree(directory)
        writer = opened(max_segment_bytes=300 << 20)
        throughput(writer, fates, (256 << 20) // LINE_BYTES)
        writer.close()
        began = time.perf_counter()
        writer = opened(max_segment_bytes=300 << 20)
        print(f"{'recovery with a 256 MB active segment':<58} {time.perf_counter() - began:.2f} s")
        writer.close()
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()

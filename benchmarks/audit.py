"""What the audit log costs on this machine: `python -m benchmarks.audit [DIRECTORY]`.

Prints the device's own fdatasync beside every figure that depends on it, and writes all of it to
benchmarks/audit.json. Figures per core are of processor time, so that other load changes them little. Needs
about 400 MB of disk.
"""

import asyncio
import contextlib
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from tests.audit.bench import Bench
from tests.audit.test_proof import synthetic

from tristar.audit.draft import Draft
from tristar.audit.proof import prove
from tristar.audit.segments import list_segments
from tristar.audit.signing import Signer
from tristar.audit.tiles import TILES, tile_path
from tristar.audit.tree import TILE_WIDTH
from tristar.audit.verify import verify
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.clock import SystemClock
from tristar.errors import AuditUnavailable

LINE_BYTES = 600
RESULTS = Path(__file__).with_name("audit.json")
FIGURES: dict[str, float | str] = {}


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
    for share, shown in ((0.5, "p50"), (0.99, "p99")):
        FIGURES[f"{name}: {shown} ms"] = round(percentile(values, share), 3)
    print(f"{name:<58} p50 {percentile(values, 0.5):7.3f} ms   p99 {percentile(values, 0.99):7.3f} ms")


def tell(name: str, value: float) -> None:
    """One line of one figure."""
    FIGURES[name] = round(value, 3)
    print(f"{name:<58} {value:,.2f}")


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


def throughput(writer: AuditWriter, fates: Fates, count: int) -> tuple[float, float]:
    """The queue never empty: durable records per second, and per second of processor time."""
    drafts = [draft(number) for number in range(count)]
    fates.expect(count)
    began, began_cpu = time.perf_counter(), time.process_time()
    for item in drafts:
        while True:
            with contextlib.suppress(AuditUnavailable):
                writer.append(item)
                break
            time.sleep(0.001)
    fates.reached.wait()
    return count / (time.perf_counter() - began), count / (time.process_time() - began_cpu)


def proof(root: Path) -> tuple[int, list[float]]:
    """Hashes of an inclusion proof in a synthetic tree of ten million leaves, and how long it takes."""
    bench, size, directory, took = Bench(root), 10_000_000, root / "log", []
    (directory / TILES).mkdir(parents=True)
    (directory / "segments").mkdir()
    synthetic(directory, size, bench)
    seq = (size // TILE_WIDTH // 2) * TILE_WIDTH + 77
    entries = tile_path(directory, "entries", seq // TILE_WIDTH)
    entries.parent.mkdir(parents=True)
    entries.write_bytes((b"\0\x20" + b"same".ljust(32, b"\0")) * TILE_WIDTH)
    for _ in range(200):
        began = time.perf_counter()
        hashes = len(prove(directory, seq).hashes)
        took.append(time.perf_counter() - began)
    return hashes, took


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
        per_s, per_cpu_s = throughput(writer, fates, 200_000)
        tell("durable records/s, one core, producer included", per_s)
        tell("durable records per second of processor time", per_cpu_s)
        os.sched_setaffinity(0, cpu)
        writer.close()
        writer = opened(max_segment_bytes=3 << 20)
        show("event-loop timer of 1 ms, alone: how late", asyncio.run(stall(lambda: time.sleep(3))))
        late = asyncio.run(stall(lambda: paced(writer, fates, 5_000, 5)))
        show("the same at 5,000/s, a rotation each second", late)
        tell("the same, p99.9 ms", percentile(late, 0.999))
        writer.close()
        size = sum(len(chunk) for segment in list_segments(directory) for chunk in segment.chunks())
        began, began_cpu = time.perf_counter(), time.process_time()
        report = verify(directory, signer.verifier, workers=1)
        if not report.ok:
            raise SystemExit(f"the log does not verify: {report.faults}")
        tell("verify, one core, MB/s", size / (time.perf_counter() - began) / 1e6)
        tell("verify, MB per second of processor time", size / (time.process_time() - began_cpu) / 1e6)
        hashes, took = proof(root / "proof")
        tell("inclusion proof, 10^7 leaves: hashes", hashes)
        show("inclusion proof, 10^7 leaves", took)
        shutil.rmtree(directory)
        writer = opened(max_segment_bytes=300 << 20)
        throughput(writer, fates, (256 << 20) // LINE_BYTES)
        writer.close()
        began, began_cpu = time.perf_counter(), time.process_time()
        writer = opened(max_segment_bytes=300 << 20)
        tell("recovery with a 256 MB active segment, s", time.perf_counter() - began)
        tell("the same, s of processor time", time.process_time() - began_cpu)
        writer.close()
        facts = {"date": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine.facts(root)}
        RESULTS.write_text(json.dumps(facts | {"figures": FIGURES}, indent=2) + "\n")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()

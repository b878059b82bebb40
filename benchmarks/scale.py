"""What grows: llms, keys, open streams, scrapes."""

import json
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self

from benchmarks.gateway import Gateway, gateway
from benchmarks.machine import memory_mb, pinned, stop
from benchmarks.plan import GATEWAY_CORE, LOAD_CORE, Plan, median

ROOT = Path(__file__).parent.parent
IDLE_STREAMS, IDLE_PERIOD_S = 10_000, 10.0
BUSY_STREAMS, BUSY_PERIOD_S = 50, 0.01
SCRAPES, SCRAPED_LLMS = 1_000, 300
SPARE_DESCRIPTORS = 500

_ALONE = str(GATEWAY_CORE)


def measure(folder: Path, upstream: int, plan: Plan) -> dict[str, dict[str, float]]:
    """A row for each thing that grows."""
    rows: dict[str, dict[str, float]] = {}
    for llms in (1, 1_000):
        rows[f"relaxed, {llms:,} llms"] = _cost(folder / f"llms{llms}", upstream, plan, llms=llms)
    for keys in (1, 100_000):
        rows[f"relaxed, {keys:,} keys"] = _cost(folder / f"keys{keys}", upstream, plan, keys=keys)
    streams = _affordable(IDLE_STREAMS)
    rows[f"{streams:,} idle streams"] = _idle(folder / "idle", streams)
    rows[f"{BUSY_STREAMS} busy streams, {SCRAPES:,} scrapes"] = _scraped(folder / "scraped")
    return rows


def _cost(folder: Path, upstream: int, plan: Plan, *, llms: int = 1, keys: int = 1) -> dict[str, float]:
    with gateway(folder, upstream, "relaxed", cores=_ALONE, llms=llms, keys=keys) as served:
        row = median(served, folder, 64, plan)
        return row | {"resident_mb": memory_mb(served.pid).largest_resident, "ready_s": served.ready_s}


def _idle(folder: Path, streams: int) -> dict[str, float]:
    """Memory for each open stream, and how late the events come that each gets every ten seconds."""
    with (
        _Both(streams, IDLE_PERIOD_S) as both,
        gateway(folder, both.port, "relaxed", cores=_ALONE) as served,
    ):
        before = memory_mb(served.pid).largest_resident
        both.open(served)
        open_mb = memory_mb(served.pid).largest_resident
        told = both.watch(lambda: time.sleep(3 * IDLE_PERIOD_S))
        after = memory_mb(served.pid).largest_resident
        both.end()
    each_kb = (max(open_mb, after) - before) * 1000 / streams
    del told["widest_gap_ms"]  # they are meant to be silent
    return told | {"kb_each": round(each_kb, 1), "resident_mb": after}


def _scraped(folder: Path) -> dict[str, float]:
    """How late events come with and without scrapes going on, and what the scrapes leave behind."""
    with (
        _Both(BUSY_STREAMS, BUSY_PERIOD_S) as both,
        gateway(folder, both.port, "relaxed", cores=_ALONE, llms=SCRAPED_LLMS) as served,
    ):
        both.open(served)
        _scrape(served, SCRAPES // 20)
        before, began = memory_mb(served.pid).largest_resident, time.monotonic()
        told = both.watch(lambda: _scrape(served, SCRAPES))
        took_s = time.monotonic() - began
        after = memory_mb(served.pid).largest_resident
        alone = both.watch(lambda: time.sleep(min(took_s, 30)))
        lines = _scrape(served, 1)
        both.end()
    return {
        "lines": lines,
        "scrape_ms": round(took_s * 1e3 / SCRAPES, 1),
        "late_p99_ms": told["late_p99_ms"],
        "late_worst_ms": told["late_worst_ms"],
        "widest_gap_ms": told["widest_gap_ms"],
        "without_late_p99_ms": alone["late_p99_ms"],
        "without_late_worst_ms": alone["late_worst_ms"],
        "without_widest_gap_ms": alone["widest_gap_ms"],
        "grown_mb": round(after - before, 1),
        "resident_mb": after,
    }


def _scrape(served: Gateway, times: int) -> int:
    """So many scrapes in a row; the lines of the last one."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{served.port}/metrics",
        headers={"Accept": "application/openmetrics-text;version=1.0.0"},
    )
    for _ in range(times):
        with urllib.request.urlopen(asked, timeout=30) as answer:
            body = answer.read()
    return int(body.count(b"\n"))


class _Both:
    """Upstream and client of many streams (`benchmarks.streams`), in a process on the load's core."""

    def __init__(self, streams: int, period_s: float) -> None:
        per_tick = max(1, round(streams * 0.001 / period_s))
        command = [sys.executable, "-m", "benchmarks.streams", str(streams), str(period_s), str(per_tick)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            pinned(LOAD_CORE, command), cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        )
        self.port = int(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process and with it every stream."""
        if self._process.poll() is None:
            stop(self._process)

    def open(self, served: Gateway) -> None:
        """Open every stream through the gateway."""
        self._tell(f"open {served.port} {served.headers['Authorization']}")

    def watch(self, work: Callable[[], object]) -> dict[str, float]:
        """What the clients saw while this was done."""
        self._tell("begin")
        work()
        told = self._tell("end")
        if told["lost"]:
            raise RuntimeError(f"{told['lost']} streams were cut")
        return {name: round(value, 2) for name, value in told.items() if name != "lost"}

    def _tell(self, order: str) -> dict[str, float]:
        _pipe(self._process.stdin).write(f"{order}\n")
        _pipe(self._process.stdin).flush()
        answer: dict[str, float] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise RuntimeError("the streams' process ended; its error is above")
        return line


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _affordable(streams: int) -> int:
    """As many as the descriptors of one process allow: two for each stream."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the gateway inherits it
    return min(streams, (hard - SPARE_DESCRIPTORS) // 2)

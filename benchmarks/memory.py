"""What the shared memory costs: `python -m benchmarks.memory`; `--help` names its flags.

A running gateway with a worker per core, strict audit log and an embedding llm, filled with 100,000 entries
of about 400 bytes and vectors of 384 dimensions: searches by words, by meaning and by both, no two alike, and
writes, over HTTP by wrk. Writes the part `memory` of benchmarks/results.json and the table in docs/memory.md.
Takes about five minutes and 1 GB of disk.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from benchmarks import machine
from benchmarks.vectors import vector
from tests.gateway.process import Gateway
from tests.storage.postgres import new_postgres

from tristar.clock import SystemClock
from tristar.memory.backlog import Backlog
from tristar.memory.entry import Caller, Draft
from tristar.memory.neighbours import pack
from tristar.memory.opening import open_store
from tristar.storage.opening import open_engine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "memory.md"
ENGINES = ("sqlite", "postgresql")
CLIENTS = 16
WORKERS = os.cpu_count() or 1
ENTRY_WORDS = 60
WORDS = 20_000
QUERIES = 20_000
MODEL = "bench-embed"
SHARED_BUFFERS = "256MB"
"""As PostgreSQL's manual has it for a server of its own: a quarter of a small machine's memory."""

COMMON = 50
"""So many of the most frequent words nobody asks for: they are in every third entry and more."""

TOML = """\
[memory]
embedding_llm = "embed"
[providers.vectors]
base_url = "http://127.0.0.1:{port}/v1"
[llms.embed]
provider = "vectors"
model = "bench-embed"
"""

LUA = """\
local lines = {{}}
for line in io.lines("{lines}") do lines[#lines + 1] = line end
local at = 0
request = function()
  at = at % #lines + 1
  {request}
end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests":%d,"duration_s":%.6f,"p50_ms":%.3f,"p95_ms":%.3f,"p99_ms":%.3f,"errors":%d}}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
GET = 'return wrk.format("GET", lines[at])'
POST = 'return wrk.format("POST", "/v1/memory", {["content-type"] = "application/json"}, lines[at])'


def text(source: random.Random, words: int, least: int = 1) -> str:
    """Words as often as in a language: the n-th most frequent is n times as rare as the first (Zipf).

    The first `least` are left out.
    """
    return " ".join(f"w{int(least * (WORDS / least) ** source.random())}x" for _ in range(words))


def drafts(count: int) -> list[Draft]:
    """Entries of five projects."""
    source = random.Random(1)
    return [Draft(text(source, ENTRY_WORDS), project=f"p{n % 5}", tags=(f"t{n % 50}",)) for n in range(count)]


async def fill(url: str | None, data_dir: Path, count: int) -> float:
    """Keep so many entries with their vectors; entries per second, vectors apart."""
    database = open_engine(url, data_dir)
    clock, me = SystemClock(), Caller("k", "0" * 32)
    store, backlog = open_store(database, clock), Backlog(database, clock)
    entries = drafts(count)
    began = time.monotonic()
    for first in range(0, count, 1000):
        await store.add_all(entries[first : first + 1000], me)
    took_s = time.monotonic() - began
    while taken := await backlog.take(1000, 600.0):
        await backlog.keep(MODEL, [(each, pack(vector(each.content))) for each in taken])
    await database.close()
    if url is not None:
        await settle(url)
    return count / took_s


async def settle(url: str) -> None:
    """What autovacuum does within a minute: without statistics PostgreSQL searches several times as long."""
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


@dataclass(frozen=True)
class Bench:
    """A gateway under load, and for how long each time."""

    gateway: Gateway
    folder: Path
    seconds: int

    def load(self, name: str, lines: list[str], request: str, clients: int = CLIENTS) -> dict[str, float]:
        """What so many clients see."""
        asked, script = self.folder / "lines.txt", self.folder / "load.lua"
        asked.write_text("\n".join(lines) + "\n")
        script.write_text(LUA.format(lines=asked, request=request))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{self.seconds}s", "--timeout", "10s", "-s", str(script)]
        before_s = machine.cpu_s(self.gateway.pid)
        done = subprocess.run([*command, self.gateway.url], capture_output=True, text=True, check=True)
        spent_s = machine.cpu_s(self.gateway.pid) - before_s
        seen: dict[str, float] = json.loads(done.stdout.partition("RESULT ")[2])
        if seen["errors"] or not seen["requests"]:
            raise RuntimeError(
                f"{name}: {seen['errors']} of {seen['requests']} failed\n{self.gateway.errors()}"
            )
        figures = {"req_per_s": round(seen["requests"] / seen["duration_s"], 1)}
        figures |= {key: round(seen[key], 2) for key in ("p50_ms", "p95_ms", "p99_ms")}
        figures["cpu_ms"] = round(spent_s * 1e3 / seen["requests"], 2)
        shown = "   ".join(f"{key} {value:8.2f}" for key, value in figures.items())
        print(f"  {name:<26} {shown}", flush=True)
        return figures


def queries(mode: str, salt: int, more: str = "") -> list[str]:
    """Searches of one to three words, no two alike."""
    source = random.Random(f"{mode}{salt}")
    found = dict.fromkeys(text(source, source.randint(1, 3), COMMON) for _ in range(QUERIES * 2))
    return [
        f"/v1/memory/search?mode={mode}&q={each.replace(' ', '+')}{more}" for each in list(found)[:QUERIES]
    ]


def writes(salt: int) -> list[str]:
    """Bodies of new entries."""
    source = random.Random(f"write{salt}")
    return [json.dumps({"content": text(source, ENTRY_WORDS), "project": "new"}) for _ in range(5000)]


def measure(bench: Bench) -> dict[str, Any]:
    """Every row of the table."""
    figures: dict[str, Any] = {}
    for mode in ("text", "semantic", "hybrid"):
        figures[mode] = bench.load(mode, queries(mode, 1), GET)
    narrow = queries("hybrid", 2, "&project=p3&tags=t3&min_confidence=0.4")
    figures["hybrid, one project and tag"] = bench.load("narrow", narrow, GET)
    figures["write, 1 client"] = bench.load("write, 1 client", writes(1), POST, 1)
    figures["write"] = bench.load("write", writes(2), POST)
    return figures


def warm(gateway: Gateway) -> None:
    """Each worker loads the vectors with its first search."""
    for _ in range(10 * WORKERS):
        page = gateway.request("GET", "/v1/memory/search?q=w5x&mode=semantic").json()
        if page["mode"] != "semantic" or not page["data"]:
            raise RuntimeError(f"no meaning: {page}")


@contextmanager
def upstream() -> Iterator[int]:
    """The port of an embeddings server."""
    command = [sys.executable, "-m", "benchmarks.vectors"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def run(engine: str, port: int, entries: int, seconds: int) -> dict[str, Any]:
    """All figures of one engine."""
    print(f"{engine}: {entries:,} entries", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tristar-bench-memory-")))
        url = None
        if engine == "postgresql":
            server = stack.enter_context(new_postgres())
            server.start(durable=True, shared_buffers=SHARED_BUFFERS)
            url = server.url_of()
        env = {} if url is None else {"DATABASE_URL": url}
        gateway = Gateway(folder, toml=TOML.format(port=port), env=env, workers=WORKERS)
        rate = asyncio.run(fill(url, gateway.data_folder, entries))
        print(f"  filled at {rate:,.0f} entries/s", flush=True)
        stack.enter_context(gateway)
        warm(gateway)
        figures = measure(Bench(gateway, folder, seconds))
        figures["resident_mb"] = round(gateway.resident_bytes() / 2**20)
        assert gateway.stop() == 0
        return {"filled_per_s": round(rate), **figures}


def table(figures: dict[str, Any]) -> str:
    """The table of docs/memory.md."""
    head = " | ".join(f"{engine}: p50 / p95 / p99 ms, per second" for engine in figures["engines"])
    lines = [
        f"| {figures['entries']:,} entries, {CLIENTS} clients | {head} |",
        "|---|" + "---|" * len(figures["engines"]),
    ]
    names = [name for name, cell in next(iter(figures["engines"].values())).items() if isinstance(cell, dict)]
    for name in names:
        cells = [figures["engines"][engine][name] for engine in figures["engines"]]
        shown = [
            f"{c['p50_ms']:.1f} / {c['p95_ms']:.1f} / {c['p99_ms']:.1f}, {c['req_per_s']:,.0f}" for c in cells
        ]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def publish(figures: dict[str, Any]) -> None:
    """Into results.json and the page, beside another engine's figures for as many entries."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    before = results.get("memory", {})
    if before.get("entries") == figures["entries"]:
        both = before["engines"] | figures["engines"]
        figures = figures | {"engines": {engine: both[engine] for engine in ENGINES if engine in both}}
    RESULTS.write_text(json.dumps(results | {"memory": figures}, indent=2) + "\n")
    begin, end = "<!-- memory -->\n", "<!-- end memory -->"
    above, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(above + begin + table(figures) + end + rest.partition(end)[2])


def main() -> None:
    """Measure, print, publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only", choices=ENGINES, help="measure this one; the other keeps its figures")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    asked = parser.parse_args()
    with upstream() as port:
        engines = [asked.only] if asked.only else ENGINES
        found = {engine: run(engine, port, asked.entries, asked.seconds) for engine in engines}
    figures = {
        "entries": asked.entries,
        "machine": machine.facts(Path(tempfile.gettempdir())),
        "engines": found,
    }
    if not asked.dry:
        publish(figures)


if __name__ == "__main__":
    main()

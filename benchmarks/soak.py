"""`make soak`: an hour of mixed load, faults, departures and killed workers; then the books and the memory.

Prints a line a minute. Fails (exit 1) if the books do not balance at the end, or if resident memory, open
descriptors, tasks or metric series have grown by more than a fifth since the first tenth of the run. One
worker lives through all of it, the others are killed in turn. The figures go into benchmarks/soak.json.

`make soak ARGS="audit-flips audit-lines"`, or `ARGS=audit` for all of a group, runs the long variants of
tests instead (benchmarks/trials.py). What each found goes into benchmarks/soak.json, with date and machine;
exit 1 where anything was not as promised.
"""

import argparse
import asyncio
import datetime as dt
import itertools
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from benchmarks import machine
from benchmarks.trials import TRIALS, named
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.process import resident_bytes
from tests.upstream import Answer, Cut, Hang, Malformed, ResetBeforeHeaders, Status, Upstream

CLIENTS = 16
PAUSE_S = 0.2
KILL_EVERY_S = 120.0
ILL_S = 5.0
GROWTH = 1.2
RESULTS = Path(__file__).with_name("soak.json")
TIMES = {"timeout_s": 5, "first_token_timeout_s": 1, "idle_timeout_s": 1, "retries": 1}
STEPS = (
    Answer(),
    Answer(),
    Answer(),
    Status(500),
    Status(429, retry_after="0.1"),
    Answer(fault=Cut(after=4)),
    Answer(fault=Malformed(at=2)),
    ResetBeforeHeaders(),
    Hang(),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"instead of the load: {', '.join(TRIALS)}")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    if not given.names:
        return _load(given.minutes, given.workers)
    try:
        names = named(given.names)
    except KeyError as unknown:
        parser.error(f"{unknown.args[0]} is none of {', '.join(TRIALS)}, and no group of them")
    return max([_try(name) for name in names])


def _enter(
    name: str, began: float, figures: Mapping[str, object], faults: Sequence[str], facts: Mapping[str, object]
) -> float:
    """Enter what a run found into the results; how long it took, in seconds."""
    took_s = round(time.monotonic() - began, 1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "took_s": took_s,
        "ok": not faults,
        **figures,
        "faults": faults[:20],
        "machine": facts,
    }
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n")
    return took_s


def _try(name: str) -> int:
    """Run one trial, print what it found, and enter it into the results; 1 where a promise was broken."""
    print(f"{name} …", flush=True)
    logging.disable()  # a trial injects faults: that they are logged is no news
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tristar-soak-") as folder:
        facts = machine.facts(Path(folder))
        outcome = TRIALS[name](Path(folder))
    took_s = _enter(name, began, outcome.figures, outcome.faults, facts)
    figures = ", ".join(f"{what}: {count}" for what, count in outcome.figures.items())
    print(f"{name}: {'as promised' if outcome.ok else 'NOT as promised'} in {took_s:,.0f} s; {figures}")
    for fault in outcome.faults[:20]:
        print(f"  {fault}")
    return 0 if outcome.ok else 1


@dataclass(frozen=True)
class Reading:
    """What the host holds at one moment: the supervisor with its hub, and the worker that is never killed."""

    hub_mb: float
    worker_mb: float
    descriptors: int
    tasks: int
    series: int


def _load(minutes: float, workers: int) -> int:
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tristar-soak-") as folder,
        Upstream() as sick,
        Upstream() as well,
    ):
        facts = machine.facts(Path(folder))
        toml = document(
            provider("sick", sick.base_url),
            provider("well", well.base_url),
            llm("main", "sick", fallbacks=["spare"], **TIMES),
            llm("spare", "well", **TIMES),
        )
        with Gateway(Path(folder), toml=toml, workers=workers) as gateway:
            figures, faults = asyncio.run(_soak(gateway, sick, well, minutes * 60))
    print(f"{figures}\n{'; '.join(faults) or 'books balance, nothing grew'}")
    _enter("load", began, figures, faults, facts)
    return 1 if faults else 0


async def _soak(
    gateway: Gateway, sick: Upstream, well: Upstream, seconds: float
) -> tuple[dict[str, object], list[str]]:
    """The figures, and what was not as promised."""
    began = time.monotonic()
    until = began + seconds
    clients = [asyncio.create_task(_client(gateway.url, until, n)) for n in range(CLIENTS)]
    kept = gateway.worker_pids()[0]
    readings: list[Reading] = []
    kills, killed_at = 0, began
    faulting = asyncio.create_task(_fall_ill(sick, well))
    while time.monotonic() < until:
        await asyncio.sleep(min(60.0, seconds / 30))
        if gateway.workers > 1 and time.monotonic() - killed_at > KILL_EVERY_S:
            gateway.kill_worker(but=kept)
            kills, killed_at = kills + 1, time.monotonic()
        readings.append(await asyncio.to_thread(_read, gateway, kept))
        print(f"{(time.monotonic() - began) / 60:6.1f} min  {readings[-1]}", flush=True)
    faulting.cancel()
    await asyncio.gather(*clients)
    await asyncio.sleep(8)  # what was hanging when the clients left runs into its timeout
    assert_books_balance(gateway, within_s=30)
    readings.append(_read(gateway, kept))
    figures = {
        "requests": int(gateway.scrape().value("ailinux_request_count")),
        "workers killed": kills,
        "after a tenth": asdict(readings[len(readings) // 10]),
        "middle": asdict(readings[len(readings) // 2]),
        "last": asdict(readings[-1]),
    }
    return figures, _grown(readings[len(readings) // 10], readings[-1])


async def _fall_ill(sick: Upstream, well: Upstream) -> None:
    """Another fault every few seconds, each of them often within the first tenth of an hour."""
    for step in itertools.cycle(STEPS):
        sick.default = step
        for upstream in (sick, well):
            upstream.journal.calls.clear()
        await asyncio.sleep(ILL_S)


def _read(gateway: Gateway, kept: int) -> Reading:
    scrape = gateway.scrape()
    return Reading(
        hub_mb=round(resident_bytes(gateway.pid) / 1e6, 1),
        worker_mb=round(resident_bytes(kept) / 1e6, 1),
        descriptors=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (gateway.pid, kept)),
        tasks=int(scrape.value("ailinux_event_loop_tasks")),
        series=len(scrape),
    )


def _grown(first: Reading, last: Reading) -> list[str]:
    """What has grown by more than a fifth."""
    before, after = asdict(first), asdict(last)
    return [
        f"{name} grew from {before[name]} to {after[name]}"
        for name in before
        if after[name] > GROWTH * before[name]
    ]


async def _client(url: str, until: float, seed: int) -> None:
    """Mixed requests, one after the other; some leave before the end."""
    dice = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        while time.monotonic() < until:
            body = {
                "model": "main",
                "messages": [{"role": "user", "content": "soak"}],
                "stream": dice.random() < 0.5,
            }
            try:
                async with asyncio.timeout(0.05 if dice.random() < 0.1 else 30):
                    await http.post("/v1/chat/completions", json=body)
            except (httpx.HTTPError, TimeoutError):
                pass  # a worker was killed, or we left
            await asyncio.sleep(PAUSE_S * dice.random())


if __name__ == "__main__":
    sys.exit(main())

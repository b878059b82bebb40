"""`make soak`: an hour of mixed load, faults, departures and killed workers; then the books and the memory.

Prints a line a minute. Fails (exit 1) if the books do not balance at the end, or if resident memory
or open descriptors have grown by more than a fifth since the first tenth of the run.

`make soak ARGS="audit-flips audit-lines"`, or `ARGS=audit` for all of a group, runs the long variants of
tests instead (benchmarks/trials.py). What each found goes into benchmarks/soak.json, with date and machine;
exit 1 where anything was not as promised.
"""

import argparse
import asyncio
import datetime as dt
import json
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx
from benchmarks import machine
from benchmarks.trials import TRIALS, named
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.upstream import Answer, Cut, Hang, Malformed, ResetBeforeHeaders, Status, Upstream

CLIENTS = 16
PAUSE_S = 0.2
KILL_EVERY_S = 120.0
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


def _try(name: str) -> int:
    """Run one trial, print what it found, and enter it into the results; 1 where a promise was broken."""
    print(f"{name} …", flush=True)
    logging.disable()  # a trial injects faults: that they are logged is no news
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tristar-soak-") as folder:
        facts = machine.facts(Path(folder))
        outcome = TRIALS[name](Path(folder))
    took_s = round(time.monotonic() - began, 1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[name] = {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "took_s": took_s,
        "ok": outcome.ok,
        **outcome.figures,
        "faults": outcome.faults[:20],
        "machine": facts,
    }
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=2, ensure_ascii=False) + "\n")
    figures = ", ".join(f"{what}: {count}" for what, count in outcome.figures.items())
    print(f"{name}: {'as promised' if outcome.ok else 'NOT as promised'} in {took_s:,.0f} s; {figures}")
    for fault in outcome.faults[:20]:
        print(f"  {fault}")
    return 0 if outcome.ok else 1


def _load(minutes: float, workers: int) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="tristar-soak-") as folder,
        Upstream() as sick,
        Upstream() as well,
    ):
        toml = document(
            provider("sick", sick.base_url),
            provider("well", well.base_url),
            llm("main", "sick", fallbacks=["spare"], **TIMES),
            llm("spare", "well", **TIMES),
        )
        with Gateway(Path(folder), toml=toml, workers=workers) as gateway:
            return asyncio.run(_soak(gateway, sick, well, minutes * 60))


async def _soak(gateway: Gateway, sick: Upstream, well: Upstream, seconds: float) -> int:
    began = time.monotonic()
    until = began + seconds
    clients = [asyncio.create_task(_client(gateway.url, until, n)) for n in range(CLIENTS)]
    first: tuple[int, int] | None = None
    killed_at = began
    while time.monotonic() < until:
        await asyncio.sleep(min(60.0, seconds / 10))
        sick.default = random.choice(STEPS)
        sick.journal.calls.clear()
        well.journal.calls.clear()
        if gateway.workers > 1 and time.monotonic() - killed_at > KILL_EVERY_S:
            gateway.kill_worker()
            killed_at = time.monotonic()
        reading = _resident(gateway), _descriptors(gateway)
        first = first or reading
        print(
            f"{(time.monotonic() - began) / 60:6.1f} min  {reading[0] // 2**20:5d} MB  {reading[1]:5d} fds",
            flush=True,
        )
    await asyncio.gather(*clients)
    await asyncio.sleep(8)  # what was hanging when the clients left runs into its timeout
    assert_books_balance(gateway, within_s=30)
    last = _resident(gateway), _descriptors(gateway)
    print(f"books balance; resident {first} -> {last} (bytes, descriptors)")
    return 0 if first is None or all(b <= a * GROWTH for a, b in zip(first, last, strict=True)) else 1


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


def _resident(gateway: Gateway) -> int:
    return gateway.resident_bytes()


def _descriptors(gateway: Gateway) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.processes())


if __name__ == "__main__":
    sys.exit(main())

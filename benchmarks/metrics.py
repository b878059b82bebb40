"""What the metrics cost the hot path: `python -m benchmarks.metrics`, written to benchmarks/metrics.json.

CPU time per call of entering one closed chat with one attempt (2 counters of requests and attempts, tokens,
5 histograms), in one process; across processes with the account's way through the frame between a worker and
its hub, both ends together. Traced calls add the exemplars; a trace's story is what goes to the exporter.
"""

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tristar import __version__
from tristar.clock import SystemClock
from tristar.exchange import Account, Attempt, Exchange
from tristar.host.frames import Close, pack
from tristar.metrics.books import Books
from tristar.traces.spans import story_of

RESULT = Path(__file__).with_name("metrics.json")
ROUNDS, CALLS = 7, 20_000
LIMITS_US = {"one process": 15.0, "across processes": 30.0}
PAIR = ("gpt-4o-mini", "openai")


def account(*, traced: bool = False) -> Account:
    """A streamed chat that ended well."""
    attempt = Attempt(
        "fast",
        PAIR[1],
        PAIR[0],
        0.001,
        status="success",
        duration_s=1.2,
        first_token_s=0.3,
        chunks=40,
        tokens_input=100,
        tokens_output=60,
        tokens_source="provider",
    )
    told = Account("/v1/chat/completions", "POST", 200, 1.25, "llm_call", streamed=True, attempts=[attempt])
    told.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736" if traced else None
    return told


def cpu_us(act: Callable[[], object]) -> float:
    """Microseconds of CPU time per call: the median of the rounds."""
    seen = []
    gc.disable()
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            act()
        seen.append(1e6 * (time.process_time() - began) / CALLS)
    gc.enable()
    return round(statistics.median(seen), 2)


def measure() -> dict[str, float]:
    """Every figure, in microseconds per call."""
    books = Books(clock=SystemClock(), version=__version__, models=[PAIR], llm_ids=["fast"])
    plain, traced = account(), account(traced=True)
    decode = msgspec.msgpack.Decoder(Close).decode

    def across() -> None:
        books.count(decode(pack(Close(1, 0, None, plain))[4:]).account or plain)

    asked = {"method": "POST", "resource": "/v1/chat", "endpoint": "/v1/chat", "audited": True}
    exchange = Exchange(started=0.0, started_at=time.time(), **asked)  # type: ignore[arg-type]  # four of its own
    exchange.attempts.extend(plain.attempts)
    return {
        "one process": cpu_us(lambda: books.count(plain)),
        "across processes": cpu_us(across),
        "one process, traced (exemplars)": cpu_us(lambda: books.count(traced)),
        "a trace's story": cpu_us(lambda: story_of(exchange)),
    }


def main() -> int:
    """Measure, write the result and say it; 1 where a limit is broken."""
    found = measure()
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "version": __version__}
    RESULT.write_text(json.dumps({"us_per_call": found, "limits_us": LIMITS_US, **machine}, indent=2) + "\n")
    for what, us in found.items():
        print(f"{us:7.2f} us  {what}" + (f"  (limit {LIMITS_US[what]:g})" if what in LIMITS_US else ""))
    return int(any(found[what] > limit for what, limit in LIMITS_US.items()))


if __name__ == "__main__":
    raise SystemExit(main())

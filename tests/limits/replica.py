"""One replica of a gateway, as a process: it asks for more than it may have, and says what it got as JSON."""

import asyncio
import json
import sys
import time

from tristar.clock import SystemClock
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.local import LocalLimiter
from tristar.limits.redis import RedisStore
from tristar.limits.shared import SharedLimiter
from tristar.limits.usage import Refusal

KEY = Subject("key:a", "key", Allowance(requests_per_minute=300, max_concurrent=12))
LLM = Subject("llm:b", "llm", Allowance(tokens_per_minute=6000))
BUSY = Subject("key:busy", "key", Allowance(requests_per_minute=200))
PAYER = Subject("key:payer", "key", Allowance(max_concurrent=12, budget_month_microusd=20_000))
ESTIMATE, ACTUAL = Amount(20, 200), Amount(32, 320)
CALLERS = 6


async def call(
    limiter: SharedLimiter, subjects: tuple[Subject, ...], until: float
) -> list[tuple[float, float]]:
    """(begin, end) of every call that was admitted, in a time that all processes share."""
    calls = []
    n = 0
    while time.monotonic() < until:
        n += 1
        verdict = await limiter.reserve(subjects, ESTIMATE, 60.0)
        if isinstance(verdict, Refusal):
            await asyncio.sleep(0.005)
            continue
        begun = time.monotonic()
        await asyncio.sleep(0.002 * (n % 5))
        calls.append((begun, time.monotonic()))
        limiter.settle(verdict, ACTUAL)
    return calls


async def main(url: str, seconds: float) -> None:
    """Ask with several callers at once for a while; begin when a line comes."""
    turns: list[str] = []
    # Generous: this machine is busier than the deadline allows for, and the bound is about the store.
    store, host = RedisStore(url), LocalLimiter(SystemClock())
    limiter = SharedLimiter(store, host, turns.append, deadline_s=20.0, open_s=20.0)
    await limiter.open()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    until = time.monotonic() + seconds
    busy, paid, *others = await asyncio.gather(
        call(limiter, (BUSY,), until),
        call(limiter, (PAYER,), until),
        *(call(limiter, (KEY, LLM), until) for _ in range(CALLERS)),
    )
    await limiter.close()
    sys.stdout.write(
        json.dumps(
            {
                "calls": [one for some in others for one in some],
                "busy": len(busy),
                "paid": len(paid),
                "turns": turns,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))

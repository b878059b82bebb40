"""The probe of the event loop."""

import asyncio
import time

import pytest

from tristar.metrics.lag import watch_loop


async def test_a_loop_that_was_held_up_is_reported_late() -> None:
    """A callback of 50 ms makes the probe at least that late, less its own interval."""
    seen: asyncio.Queue[float] = asyncio.Queue()
    probe = asyncio.create_task(watch_loop(seen.put_nowait, interval_s=0.005))
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 - holding up the loop is what is tested
    late_s = await seen.get()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert late_s >= 0.04

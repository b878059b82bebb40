"""Waiting with a deadline, for an upstream that may not answer and a client that may leave."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tristar.relay.departure import TICK_S, ClientGone, Departure, Wheel


def _in_loop(story: Callable[[asyncio.AbstractEventLoop], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(asyncio.get_running_loop())

    asyncio.run(run())


@pytest.mark.parametrize("wait_s", [0.0, TICK_S, 3.3 * TICK_S])
def test_a_deadline_is_kept_however_far_off_it_is(wait_s: float) -> None:
    """Near ones have a timer of their own, far ones get it when they have come near; none fires early."""

    async def story(loop: asyncio.AbstractEventLoop) -> None:
        departure = Departure(loop, Wheel(loop))
        deadline = loop.time() + wait_s
        with pytest.raises(TimeoutError):
            await departure.wait(loop.create_future(), deadline)
        assert loop.time() >= deadline - 0.002

    _in_loop(story)


def test_what_comes_in_time_is_not_overtaken_by_its_deadline() -> None:
    """Nothing stays behind in the wheel, and a client that leaves ends any wait."""

    async def story(loop: asyncio.AbstractEventLoop) -> None:
        wheel = Wheel(loop)
        departure, waiter = Departure(loop, wheel), loop.create_future()
        loop.call_soon(waiter.set_result, None)
        await departure.wait(waiter, loop.time() + 1_000)
        loop.call_soon(departure.announce)
        with pytest.raises(ClientGone):
            await departure.wait(loop.create_future(), loop.time() + 1_000)

    _in_loop(story)

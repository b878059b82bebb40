"""Hedged requests: a second llm is asked when the first is slow to answer; one of them wins.

After Dean and Barroso, "The Tail at Scale" (2013): asking again after a high percentile of the usual
time cuts the tail for a few per cent of requests more.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tristar.errors import UpstreamFailed
from tristar.relay.failure import Verdict, verdict
from tristar.routing.catalog import Llm
from tristar.routing.load import Loads

SHARE = 0.05
"""Of the requests to llms that are hedged so many may be asked twice, and a few at once."""

BURST = 5.0

T = TypeVar("T")


class NobodyToAsk(Exception):
    """There is no second llm for this request: the first goes on alone."""


class Hedges:
    """When a request may be asked a second time. One per process."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._credit = 1.0

    def delay_s(self, llm: Llm, *, streamed: bool) -> float | None:
        """Seconds after which the next llm may be asked too; None: never.

        A percentile counts as soon as there are answers enough to tell it.
        """
        if llm.hedge_percentile is None and llm.hedge_after_s is None:
            return None
        self._credit = min(BURST, self._credit + SHARE)
        usual_s = None
        if llm.hedge_percentile is not None:
            usual_s = self._loads.percentile_s(llm.llm_id, llm.hedge_percentile, streamed=streamed)
        return llm.hedge_after_s if usual_s is None else usual_s

    @property
    def allowed(self) -> bool:
        """Whether one more may be asked now."""
        return self._credit >= 1.0

    def spend(self) -> None:
        """One was asked."""
        self._credit -= 1.0


async def race(
    first: Coroutine[Any, Any, T],
    delay_s: float,
    second: Callable[[], Coroutine[Any, Any, T]],
    lost: Callable[[T], None],
) -> T:
    """What the first to succeed returns, `second` being begun if `first` takes longer than `delay_s`.

    `second` raises `NobodyToAsk` where there is nobody. Who has not succeeded is cancelled and has ended when
    this returns; should both have succeeded, `lost` takes what the later one gave. A failure that would be
    told to the client ends both.

    Raises:
        UpstreamFailed: both failed, or there was one; the first one's failure.
        Exception: whatever else one of them raises, as soon as it does.
    """
    tasks: list[asyncio.Task[T]] = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=delay_s)
        if not tasks[0].done():
            tasks.append(asyncio.ensure_future(second()))
        winner = await _winner(tasks)
    except BaseException:
        await _end(tasks, lost)
        raise
    await _end([task for task in tasks if task is not winner], lost)
    return winner.result()


async def _winner(tasks: list[asyncio.Task[T]]) -> asyncio.Task[T]:
    """The first task that succeeds; if none does, the first one's failure."""
    waiting = set(tasks)
    while True:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in tasks if task in waiting and task.done()]:
            error = task.exception()
            if error is None:
                return task
            waiting.discard(task)
            if isinstance(error, NobodyToAsk):
                continue
            if not isinstance(error, UpstreamFailed) or verdict(error) is Verdict.FINAL:
                raise error
        if not waiting:
            return tasks[0]


async def _end(tasks: list[asyncio.Task[T]], lost: Callable[[T], None]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, BaseException):
            lost(ended)

"""The race of a hedged request, and how many requests may be hedged."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tristar.clock import ManualClock
from tristar.errors import DeadlineExceeded, UpstreamFailed, UpstreamUnreachable
from tristar.providers.dialects import OPENAI
from tristar.relay.failure import refusal
from tristar.relay.hedge import BURST, SHARE, Hedges, NobodyToAsk, race
from tristar.routing.catalog import Llm, Provider
from tristar.routing.load import ENOUGH, Loads

PROVIDER = Provider("p", "openai", "http://x")
SOON_S = 0.01


async def told(answer: str) -> str:
    """Answers at once."""
    return answer


async def failed(error: Exception) -> str:
    """Fails at once."""
    raise error


class Slow:
    """Answers when the test says so; knows whether it was cancelled."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    async def run(self) -> str:
        """The coroutine."""
        try:
            return await self.answer
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def never() -> str:
    """For a race in which nobody must be asked second."""
    raise AssertionError("asked a second time")


async def test_a_quick_answer_is_not_hedged() -> None:
    """Nobody else is asked."""
    assert await race(told("first"), 60.0, never, pytest.fail) == "first"


async def test_a_quick_failure_is_not_hedged() -> None:
    """It is raised, and the route goes on from there."""
    with pytest.raises(UpstreamUnreachable):
        await race(failed(UpstreamUnreachable("gone")), 60.0, never, pytest.fail)


async def test_the_second_wins_and_the_first_is_cancelled() -> None:
    """Before the answer is given back."""
    slow = Slow()

    assert await race(slow.run(), SOON_S, lambda: told("second"), pytest.fail) == "second"
    assert slow.cancelled


async def test_the_first_may_still_win() -> None:
    """Then the second is cancelled."""
    slow, rival = Slow(), Slow()

    def begin() -> Coroutine[Any, Any, str]:
        slow.answer.set_result("first")
        return rival.run()

    assert await race(slow.run(), SOON_S, begin, pytest.fail) == "first"
    assert rival.answer.cancelled()


async def test_with_nobody_to_ask_the_first_goes_on() -> None:
    """As without hedging."""
    slow = Slow()

    async def nobody() -> str:
        asyncio.get_running_loop().call_later(SOON_S, slow.answer.set_result, "first")
        raise NobodyToAsk

    assert await race(slow.run(), SOON_S, nobody, pytest.fail) == "first"


async def test_one_failure_leaves_the_other_running() -> None:
    """Both ways round."""
    slow = Slow()

    async def rescue() -> str:
        slow.answer.set_exception(UpstreamUnreachable("gone"))
        await asyncio.sleep(SOON_S)
        return "second"

    assert await race(slow.run(), SOON_S, rescue, pytest.fail) == "second"
    late = Slow()
    asyncio.get_running_loop().call_later(5 * SOON_S, late.answer.set_result, "first")
    gone = UpstreamUnreachable("gone")

    assert await race(late.run(), SOON_S, lambda: failed(gone), pytest.fail) == "first"


async def test_two_failures_raise_the_first_llms() -> None:
    """What the client would have been told without hedging."""
    slow = Slow()

    async def also() -> str:
        slow.answer.set_exception(UpstreamUnreachable("first"))
        raise UpstreamUnreachable("second")

    with pytest.raises(UpstreamFailed, match="first"):
        await race(slow.run(), SOON_S, also, pytest.fail)


@pytest.mark.parametrize("error", [DeadlineExceeded("spent"), refusal(OPENAI, 400, [], b"{}")], ids=repr)
async def test_what_the_client_must_be_told_ends_both(error: Exception) -> None:
    """A request that is wrong is wrong for either."""
    slow = Slow()
    with pytest.raises(type(error)):
        await race(slow.run(), SOON_S, lambda: failed(error), pytest.fail)

    assert slow.cancelled


async def test_whoever_is_cancelled_cancels_both() -> None:
    """No task outlives its request."""
    slow, rival = Slow(), Slow()
    racing = asyncio.ensure_future(race(slow.run(), SOON_S, rival.run, pytest.fail))
    await asyncio.sleep(5 * SOON_S)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing

    assert slow.cancelled
    assert rival.cancelled


async def test_of_two_answers_at_once_the_later_is_accounted_as_lost() -> None:
    """It was paid for."""
    slow = Slow()
    lost: list[str] = []

    async def both() -> str:
        slow.answer.set_result("first")
        return "second"

    assert await race(slow.run(), SOON_S, both, lost.append) in {"first", "second"}
    assert len(lost) <= 1


def test_hedges_are_a_bounded_share_of_the_requests() -> None:
    """One in twenty, and a handful at once after a quiet time."""
    hedges = Hedges(Loads(ManualClock()))
    llm = Llm("a", PROVIDER, "m", hedge_after_s=1.0)
    spent = 0
    for _ in range(1000):
        hedges.delay_s(llm, streamed=False)
        if hedges.allowed:
            hedges.spend()
            spent += 1
    for _ in range(1000):
        hedges.delay_s(llm, streamed=False)
    burst = 0
    while hedges.allowed:
        hedges.spend()
        burst += 1

    assert spent <= 1000 * SHARE + 1
    assert spent >= 1000 * SHARE - 1
    assert burst == BURST


def test_a_percentile_counts_once_it_is_known() -> None:
    """Until then the fixed delay does, if there is one."""
    loads = Loads(ManualClock())
    hedges = Hedges(loads)
    both = Llm("a", PROVIDER, "m", hedge_after_s=9.0, hedge_percentile=50)
    alone = Llm("a", PROVIDER, "m", hedge_percentile=50)
    before = [hedges.delay_s(llm, streamed=True) for llm in (both, alone, Llm("a", PROVIDER, "m"))]
    for _ in range(ENOUGH):
        loads.answered("a", 0.25, streamed=True)

    assert before == [9.0, None, None]
    assert [hedges.delay_s(llm, streamed=True) for llm in (both, alone)] == [0.25, 0.25]

"""A Redis that hangs: no request waits for it longer than 50 ms, whatever it needs of it.

Redis is real and is stopped with SIGSTOP: its sockets stay open and take what is sent. Times are those
of the gateway's own loop, from the moment of the stop on in the test's hands, so that they are exact.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.host.stepped import SteppedLoop
from tests.host.test_hub import Desk
from tests.limits import servers

from tristar.clock import SystemClock
from tristar.host.conditions import Conditions
from tristar.host.replicas import Replicas
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.limiter import Reservation
from tristar.limits.local import LocalLimiter
from tristar.limits.redis import RedisStore
from tristar.limits.shared import SharedLimiter
from tristar.routing.board import BreakerBoard
from tristar.routing.breaker import State
from tristar.routing.catalog import BreakerPolicy, Catalog, Llm, Provider
from tristar.routing.redis import RedisBreakers
from tristar.routing.shared import SharedBoard

LONGEST_S = 0.05
PATIENT_S = 20.0
"""A deadline that a busy test machine does not miss, until Redis hangs."""

SUBJECTS = (Subject("key:a", "key", Allowance(requests_per_minute=10_000)),)
NEED = Amount(10)
LLM = Llm("a", Provider("p", "openai", "http://x"), "m", breaker=BreakerPolicy(failures=1, cooldown_s=0.01))


class Lodge:
    """A host's limits and breakers in a Redis, as the composition root ties them together."""

    def __init__(self, url: str) -> None:
        self.desk = Desk(strict=True)
        self.replicas = Replicas(Conditions(self.desk.hub), refuse=False)
        clock = SystemClock()
        board = BreakerBoard(Catalog([LLM]), clock, lambda _llm, _before, _now: None)
        self.limiter = SharedLimiter(
            RedisStore(url), LocalLimiter(clock), self.replicas.turned, open_s=PATIENT_S
        )
        self.board = SharedBoard(board, RedisBreakers(url), self.replicas.turned, patience_s=PATIENT_S)
        self.replicas.join(self.limiter, self.board)

    async def request(self) -> float:
        """What one request asks of Redis before it is sent: its key's limits, the llm's, a probe; seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(2):
            reserved = await self.limiter.reserve(SUBJECTS, NEED, 60.0)
            assert isinstance(reserved, Reservation)
        if self.board.free_permit(LLM.llm_id) is None:
            await self.board.admit(LLM.llm_id)
        return loop.time() - began

    async def half_open(self) -> None:
        """A failure, and its cooldown: the next call needs a probe."""
        permit = self.board.free_permit(LLM.llm_id)
        assert permit is not None
        self.board.failed(LLM.llm_id, permit, None)
        while self.board.states()[LLM.llm_id] is not State.HALF_OPEN:  # noqa: ASYNC110 - by its clock
            await asyncio.sleep(0.01)


def waits(
    work: Callable[[Lodge, SteppedLoop, servers.Server], Coroutine[Any, Any, list[float]]],
) -> list[float]:
    """The waits that `work` measures with a Redis of its own."""

    async def run(url: str, redis: servers.Server) -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        lodge = Lodge(url)
        await lodge.replicas.open()
        try:
            return await work(lodge, loop, redis)
        finally:
            redis.resume()
            await lodge.replicas.close()
            lodge.desk.hub.close()

    with servers.server() as redis, asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(run(redis.url, redis))


def test_of_many_requests_at_once_none_waits_longer_than_the_deadline() -> None:
    """Each asks three things of it, one after the other, and all of them together wait once."""

    async def work(lodge: Lodge, loop: SteppedLoop, redis: servers.Server) -> list[float]:
        await lodge.half_open()
        hang(lodge, loop, redis)
        return list(await asyncio.gather(*[lodge.request() for _ in range(200)]))

    found = waits(work)

    assert max(found) == pytest.approx(LONGEST_S)
    assert len(found) == 200


def test_those_that_come_later_do_not_wait_at_all() -> None:
    """They see that it is away."""

    async def work(lodge: Lodge, loop: SteppedLoop, redis: servers.Server) -> list[float]:
        hang(lodge, loop, redis)
        first = await lodge.request()
        return [first, *[await lodge.request() for _ in range(50)]]

    first, *later = waits(work)

    assert first == pytest.approx(LONGEST_S)
    assert later == [0.0] * 50


def test_while_it_is_looked_for_again_nobody_waits() -> None:
    """The probes of a Redis that still hangs go on beside the requests."""

    async def work(lodge: Lodge, loop: SteppedLoop, redis: servers.Server) -> list[float]:
        hang(lodge, loop, redis)
        await lodge.request()
        found = []
        for _ in range(40):
            await asyncio.sleep(0.1)  # four seconds of the loop's time: several probes
            found.append(await lodge.request())
        return found

    assert waits(work) == [0.0] * 40


def test_what_one_of_the_two_found_out_the_other_need_not() -> None:
    """A request whose limits waited for the deadline does not wait for its breaker as well."""

    async def work(lodge: Lodge, loop: SteppedLoop, redis: servers.Server) -> list[float]:
        await lodge.half_open()
        hang(lodge, loop, redis)
        began = loop.time()
        await lodge.limiter.reserve(SUBJECTS, NEED, 60.0)
        reserved = loop.time()
        await lodge.board.admit(LLM.llm_id)
        return [reserved - began, loop.time() - reserved]

    assert waits(work) == [pytest.approx(LONGEST_S), 0.0]


def hang(lodge: Lodge, loop: SteppedLoop, redis: servers.Server) -> None:
    """Stop Redis, and take time over."""
    assert not lodge.limiter.unwell
    assert not lodge.board.unwell
    redis.pause()
    loop.step()

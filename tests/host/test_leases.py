"""What workers reserve at the hub: answered, settled, given back, freed when a worker is gone."""

import asyncio
from collections.abc import Sequence

import pytest

from tristar.clock import ManualClock
from tristar.errors import Unavailable
from tristar.host.frames import Abandon, FromHub, FromWorker, Reserve, Ruling, Settle, from_workers, pack
from tristar.host.leases import Leases
from tristar.host.link import Link, LinkLimiter
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.limiter import FREE, NOT_MADE, Reservation
from tristar.limits.local import LocalLimiter
from tristar.limits.usage import Refusal, Standing, Standings

SUBJECT = Subject("key:a", "key", Allowance(requests_per_minute=10, max_concurrent=2))
NEED = Amount(100)


def asked(n: int) -> Reserve:
    """A worker's question."""
    return Reserve(n, [SUBJECT], NEED, 60.0)


class Slow(LocalLimiter):
    """A limiter that has to ask somebody else first."""

    def __init__(self) -> None:
        super().__init__(ManualClock())
        self.answer = asyncio.Event()
        self.fault: Exception | None = None

    def reserve_now(  # type: ignore[override]  # as `Limiter` has it
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> None:
        """Never known at once."""

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """After `answer`."""
        await self.answer.wait()
        if self.fault is not None:
            raise self.fault
        return LocalLimiter.reserve_now(self, subjects, need, lease_s)


class Desk:
    """A worker's leases over a limiter, and what it was answered."""

    def __init__(self, limiter: LocalLimiter) -> None:
        self.limiter = limiter
        self.rulings: list[Ruling] = []
        self.leases = Leases(limiter, asyncio.get_running_loop(), self.rulings.append)

    def room(self) -> int:
        """How many more leases there are now; tried out and given back."""
        held: list[Reservation] = []
        while isinstance(one := LocalLimiter.reserve_now(self.limiter, [SUBJECT], NEED, 60.0), Reservation):
            held.append(one)
        for one in held:
            self.limiter.settle(one, NOT_MADE)
        return len(held)


async def test_a_question_is_answered_and_its_lease_is_held_until_it_is_settled() -> None:
    """Two places, three questions; the settled one's place is free."""
    desk = Desk(LocalLimiter(ManualClock()))
    for n in (1, 2, 3):
        desk.leases.reserve(asked(n))
    refusals = [ruling.refusal and ruling.refusal.limit for ruling in desk.rulings]
    desk.leases.settle(1, Amount(5))
    desk.leases.settle(1, Amount(5))

    assert refusals == [None, None, "concurrency"]
    assert desk.rulings[1].standings.requests == Standing(10, 8, 12_000)
    assert desk.room() == 1
    assert len(desk.leases) == 1


async def test_a_dead_workers_leases_are_free() -> None:
    """Those that it held and those that it waited for; its requests stay counted."""
    desk = Desk(LocalLimiter(ManualClock()))
    desk.leases.reserve(asked(1))
    desk.leases.reserve(asked(2))
    desk.leases.end()

    assert len(desk.leases) == 0
    assert desk.room() == 2
    desk.leases.reserve(asked(3))
    assert desk.rulings[-1].standings.requests == Standing(10, 7, 18_000)


async def test_what_nobody_waits_for_is_given_back_whenever_it_comes() -> None:
    """Abandoned before the answer, and after it."""
    desk = Desk(Slow())
    desk.leases.reserve(asked(1))
    desk.leases.reserve(asked(2))
    desk.leases.abandon(1)
    assert isinstance(desk.limiter, Slow)
    desk.limiter.answer.set()
    await asyncio.sleep(0.01)
    assert [ruling.n for ruling in desk.rulings] == [2]
    desk.leases.abandon(2)

    assert desk.room() == 2
    desk.leases.abandon(7)
    assert len(desk.leases) == 0


async def test_an_answer_that_crosses_with_its_abandonment_is_given_back() -> None:
    """The limiter has just said yes when the worker says never mind."""
    desk = Desk(Slow())
    desk.leases.reserve(asked(1))
    await asyncio.sleep(0)
    assert isinstance(desk.limiter, Slow)
    desk.limiter.answer.set()
    await asyncio.sleep(0)
    desk.leases.abandon(1)
    await asyncio.sleep(0.01)

    assert len(desk.leases) == 0
    assert desk.room() == 2


async def test_a_worker_that_dies_while_it_waits_leaves_nothing() -> None:
    """Its question ends with it."""
    desk = Desk(Slow())
    desk.leases.reserve(asked(1))
    desk.leases.end()
    await asyncio.sleep(0.01)

    assert desk.rulings == []
    assert desk.room() == 2


async def test_a_limiter_that_cannot_answer_is_an_answer_too() -> None:
    """No request waits for ever."""
    slow = Slow()
    slow.fault = Unavailable("no")
    desk = Desk(slow)
    desk.leases.reserve(asked(1))
    slow.answer.set()
    await asyncio.sleep(0.01)

    assert [(ruling.n, ruling.known) for ruling in desk.rulings] == [(1, False)]


class Wire(asyncio.Transport):
    """The worker's end of the socket: what was sent, as frames."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[FromWorker] = []
        self._unpacker = from_workers(self.sent.append)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.WriteTransport`."""
        self._unpacker.feed(bytes(data))


class Worker:
    """A link whose hub is the test."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.link = Link(asyncio.get_running_loop(), lambda: None)
        self.link.connection_made(self.wire)
        self.limiter = LinkLimiter(self.link)

    def hear(self, frame: FromHub) -> None:
        """The hub says something."""
        self.link.data_received(pack(frame))

    async def asking(self) -> "asyncio.Task[Reservation | Refusal]":
        """A request that waits for the hub's word."""
        task = asyncio.create_task(self.limiter.reserve([SUBJECT], NEED, 60.0))
        await asyncio.sleep(0)
        return task


async def test_a_worker_asks_the_hub_and_settles_there_once() -> None:
    """Question, answer, settlement: one frame each."""
    worker = Worker()
    asking = await worker.asking()
    standings = Standings(requests=Standing(10, 9, 6_000))
    worker.hear(Ruling(1, None, standings))
    reservation = await asking
    assert isinstance(reservation, Reservation)
    worker.limiter.settle(reservation, Amount(7))
    worker.limiter.settle(reservation, Amount(7))

    assert worker.wire.sent == [Reserve(1, [SUBJECT], NEED, 60.0), Settle(1, Amount(7))]
    assert reservation.standings == standings


async def test_a_worker_hears_why_not() -> None:
    """The refusal comes as the hub has it; where it cannot say, the client gets 503."""
    worker = Worker()
    first, second = await worker.asking(), await worker.asking()
    why = Refusal(SUBJECT, "requests", 2.5)
    worker.hear(Ruling(1, why, Standings()))
    worker.hear(Ruling(2, None, Standings(), known=False))

    assert await first == why
    with pytest.raises(Unavailable):
        await second


async def test_a_request_that_is_cancelled_while_it_asks_says_so() -> None:
    """The hub gives back what it gave."""
    worker = Worker()
    asking = await worker.asking()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert worker.wire.sent[1:] == [Abandon(1)]


async def test_without_limits_nothing_is_sent() -> None:
    """An unlimited request never leaves the worker."""
    worker = Worker()

    assert worker.limiter.reserve_now((), NEED, 60.0) is FREE
    assert await worker.limiter.reserve((), NEED, 60.0) is FREE
    worker.limiter.settle(FREE, NEED)
    assert worker.wire.sent == []

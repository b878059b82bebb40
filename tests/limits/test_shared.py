"""The limiter over a shared store that fails in every way: who waits, who is told, what is made good."""

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

import pytest

from tristar.clock import ManualClock
from tristar.errors import Unavailable
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.limiter import FREE, NOTHING, Reservation
from tristar.limits.local import LocalLimiter
from tristar.limits.shared import SharedLimiter
from tristar.limits.store import Verdict
from tristar.limits.usage import Refusal, Usage
from tristar.sharing import StoreUnavailable

Fault = Literal["", "refuses", "refuses after doing it", "hangs", "hangs after doing it", "hangs for good"]
FAULTS: Sequence[Fault] = (
    "refuses",
    "refuses after doing it",
    "hangs",
    "hangs after doing it",
    "hangs for good",
)
LEASE_S = 600.0
NEED = Amount(10, 10)
SUBJECTS = (Subject("key:a", "key", Allowance(max_concurrent=2, tokens_per_minute=1000)),)


class FakeStore:
    """A store in this process, with a fault of choice in each of its operations."""

    def __init__(self) -> None:
        self.kept = LocalLimiter(ManualClock())
        self.made: dict[str, Reservation] = {}
        self.calls: list[str] = []
        self.open_fault: Fault = ""
        self.reserve_fault: Fault = ""
        self.settle_fault: Fault = ""
        self.answer = asyncio.Event()
        self.asked = asyncio.Event()

    async def open(self) -> None:
        """See `Store`."""
        self.calls.append("open")
        await self._suffer(self.open_fault)

    async def reserve(self, reservation: Reservation, lease_s: float) -> Verdict:
        """See `Store`."""
        self.calls.append("reserve")
        if "doing" not in self.reserve_fault:
            await self._suffer(self.reserve_fault)
        verdict = self.kept.reserve_now(reservation.subjects, reservation.need, lease_s)
        if isinstance(verdict, Reservation):
            self.made[reservation.id] = verdict
        self.asked.set()
        await self._suffer(self.reserve_fault)
        return Verdict(verdict if isinstance(verdict, Refusal) else None, verdict.standings)

    async def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Store`."""
        self.calls.append("settle")
        if "doing" not in self.settle_fault:
            await self._suffer(self.settle_fault)
        if reservation.id in self.made:
            self.kept.settle(self.made[reservation.id], actual)
        await self._suffer(self.settle_fault)

    async def look(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """See `Store`."""
        self.calls.append("look")
        await self._suffer(self.reserve_fault)
        return await self.kept.usages(subjects)

    async def close(self) -> None:
        """See `Store`."""
        self.calls.append("close")
        await self._suffer(self.open_fault)

    def heal(self) -> None:
        """No fault from here on."""
        self.open_fault = self.reserve_fault = self.settle_fault = ""

    def left(self) -> int:
        """Places that are free for one more reservation."""
        subject = SUBJECTS[0]
        held = [self.kept.reserve_now((subject,), Amount(1), LEASE_S) for _ in range(2)]
        free = [one for one in held if isinstance(one, Reservation)]
        for one in free:
            self.kept.settle(one, NOTHING)
        return len(free)

    async def _suffer(self, fault: Fault) -> None:
        if fault.startswith("refuses"):
            raise StoreUnavailable("refused")
        while fault.startswith("hangs"):
            try:
                await self.answer.wait()
            except asyncio.CancelledError:
                if fault != "hangs for good":
                    raise
            else:
                return


class Lane:
    """A limiter, its store, this host's own, and what was told."""

    def __init__(self, *, refuse: bool = False, probe_s: float = 0.001) -> None:
        self.store = FakeStore()
        self.host = LocalLimiter(ManualClock())
        self.turns: list[str] = []
        self.turned = asyncio.Event()
        host = None if refuse else self.host
        self.limiter = SharedLimiter(
            self.store, host, self._told, deadline_s=0.02, probe_s=probe_s, open_s=0.05
        )

    def _told(self, reason: str) -> None:
        self.turns.append(reason)
        self.turned.set()

    async def until_turns(self, count: int) -> None:
        """Wait until so many were told."""
        async with asyncio.timeout(10):
            while len(self.turns) < count:
                self.turned.clear()
                await self.turned.wait()

    async def admit(self) -> Reservation:
        """One reservation, which there must be."""
        verdict = await self.limiter.reserve(SUBJECTS, NEED, LEASE_S)
        assert isinstance(verdict, Reservation)
        return verdict

    async def end(self) -> None:
        """Let everything go."""
        self.store.heal()
        self.store.answer.set()
        await self.limiter.close()


async def opened(*, refuse: bool = False, probe_s: float = 0.001) -> Lane:
    """A connected one."""
    lane = Lane(refuse=refuse, probe_s=probe_s)
    await lane.limiter.open()
    return lane


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_reservation_that_fails_is_made_here_and_undone_there(fault: Fault) -> None:
    """Whether or not the store had made it: none is left once it is back, and each turn is told once."""
    lane = await opened()
    lane.store.reserve_fault = lane.store.open_fault = fault

    verdicts = await asyncio.gather(lane.admit(), lane.admit())
    lane.store.heal()
    lane.store.answer.set()
    await lane.until_turns(2)

    assert [one.shared for one in verdicts] == [False, False]
    assert lane.turns == ["refused" if "refuses" in fault else "no answer within 20 ms", ""]
    await lane.end()
    if fault != "hangs for good":  # a store that ignores its cancellation may yet make one: its lease ends it
        assert lane.store.left() == 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_settlement_that_fails_is_made_good(fault: Fault) -> None:
    """Nobody waits for it, and the store learns of it before it is used again."""
    lane = await opened()
    reservation = await lane.admit()
    lane.store.settle_fault = lane.store.open_fault = fault

    lane.limiter.settle(reservation, Amount(900))
    await lane.until_turns(1)
    lane.store.heal()
    lane.store.answer.set()
    await lane.until_turns(2)

    verdict = await lane.limiter.reserve(SUBJECTS, Amount(101), LEASE_S)
    await lane.end()
    assert isinstance(verdict, Refusal)
    assert verdict.limit == "tokens"
    assert lane.store.left() == 2


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_store_that_is_away_at_the_start_keeps_nobody_from_starting(
    fault: Fault,
) -> None:
    """This host's own limits hold until it is there."""
    lane = Lane()
    lane.store.open_fault = "hangs" if fault == "hangs for good" else fault
    await lane.limiter.open()

    verdict = lane.limiter.reserve_now(SUBJECTS, NEED, LEASE_S)
    lane.store.heal()
    lane.store.answer.set()
    await lane.until_turns(2)

    assert isinstance(verdict, Reservation)
    assert not verdict.shared
    assert lane.turns[0] != ""
    assert (await lane.admit()).shared
    await lane.end()


async def test_nobody_asks_a_store_that_is_away() -> None:
    """After the first failure no request waits at all, until a probe finds it well."""
    lane = await opened(probe_s=1000)
    lane.store.reserve_fault = "hangs"
    await lane.admit()

    verdicts = [lane.limiter.reserve_now(SUBJECTS, NEED, LEASE_S) for _ in range(10)]

    assert [type(one) for one in verdicts] == [Reservation] + [Refusal] * 9
    assert lane.store.calls == ["open", "reserve"]
    await lane.end()


async def test_it_refuses_if_the_operator_wants_no_guess() -> None:
    """503 instead of this host's own limits; what nothing limits is served all the same."""
    lane = await opened(refuse=True, probe_s=1000)
    before = await lane.admit()
    lane.store.reserve_fault = "hangs"

    for _ in range(2):
        with pytest.raises(Unavailable):
            await lane.limiter.reserve(SUBJECTS, NEED, LEASE_S)
    lane.limiter.settle(before, None)

    assert await lane.limiter.reserve((), NEED, LEASE_S) is FREE
    await lane.end()


async def test_a_caller_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    """Cancelled between the question and its answer: what the store gave is given back."""
    lane = await opened()
    lane.store.reserve_fault = "hangs after doing it"
    caller = asyncio.create_task(lane.admit())
    await lane.store.asked.wait()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    lane.store.answer.set()
    await lane.limiter.close()

    assert lane.turns == []
    assert lane.store.left() == 2


async def test_a_caller_that_leaves_a_hanging_store_leaves_nothing_behind() -> None:
    """Cancelled, and then the deadline passes: it is undone when the store is back."""
    lane = await opened()
    lane.store.reserve_fault = "hangs after doing it"
    caller = asyncio.create_task(lane.admit())
    await lane.store.asked.wait()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await lane.until_turns(1)
    lane.store.heal()
    await lane.until_turns(2)
    await lane.end()

    assert lane.store.left() == 2


async def test_settling_twice_asks_the_store_once() -> None:
    """Idempotent without a round trip."""
    lane = await opened()
    reservation = await lane.admit()

    lane.limiter.settle(reservation, None)
    lane.limiter.settle(reservation, NOTHING)
    await lane.end()

    assert lane.store.calls.count("settle") == 1


async def test_closing_lets_settlements_end() -> None:
    """What was settled before the end has arrived when `close` returns."""
    lane = await opened()
    held = [await lane.admit(), await lane.admit()]

    for one in held:
        lane.limiter.settle(one, None)
    await lane.limiter.close()

    assert lane.store.calls[-3:] == ["settle", "settle", "close"]
    assert lane.store.left() == 2


async def test_an_unlimited_or_unpriced_request_never_asks_the_store() -> None:
    """Both are known here."""
    lane = await opened()
    budget = Subject("key:b", "key", Allowance(budget_day_microusd=1))

    free = await lane.limiter.reserve((), NEED, LEASE_S)
    unpriced = await lane.limiter.reserve((budget,), Amount(1), LEASE_S)
    lane.limiter.settle(FREE, None)

    assert free is FREE
    assert isinstance(unpriced, Refusal)
    assert lane.store.calls == ["open"]
    await lane.end()


async def test_an_answer_that_a_busy_loop_reads_late_counts() -> None:
    """The deadline is the store's: a loop that was held up itself does not turn away from it."""
    lane = await opened()

    async def hold_up() -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - that is the point
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the deadline's timer has fired by now
        lane.store.answer.set()

    lane.store.reserve_fault = "hangs"
    holding = asyncio.create_task(hold_up())
    verdict = await lane.admit()
    await holding

    assert verdict.shared
    assert lane.turns == []
    await lane.end()


@pytest.mark.parametrize("fault", ["", "refuses", "hangs"])
async def test_a_look_turns_nobody_away(fault: Fault) -> None:
    """Where the store does not answer an operator, the host's own numbers stand in; limits stay shared."""
    lane = await opened()
    await lane.admit()
    lane.store.reserve_fault = fault
    (usage,) = await lane.limiter.usages(SUBJECTS)
    lane.store.heal()

    assert usage.concurrent == (0 if fault else 1)
    assert lane.turns == []
    await lane.end()


async def test_without_store_and_host_nothing_is_known() -> None:
    """503, rather than a guess."""
    lane = await opened(refuse=True)
    lane.store.reserve_fault = "refuses"

    with pytest.raises(Unavailable):
        await lane.limiter.usages(SUBJECTS)
    await lane.end()

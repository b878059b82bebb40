"""The limiter of one process against the reference model, and its promises one by one."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.limits.histories import START_MS, Advance, Reserve, Settle, Step, steps
from tests.limits.model import Model

from tristar.clock import ManualClock
from tristar.limits.allowance import Allowance, Amount, Subject, limited
from tristar.limits.limiter import FREE, NOT_MADE, Reservation, charge
from tristar.limits.local import SWEEP_FLOOR, LocalLimiter
from tristar.limits.store import Spending
from tristar.limits.usage import Refusal

LEASE_S = 600.0
ONE = Amount(1, 1)


def made(at: float = START_MS / 1000) -> tuple[LocalLimiter, ManualClock]:
    """A limiter and its clock."""
    clock = ManualClock(at)
    return LocalLimiter(clock), clock


def key(**limits: int) -> tuple[Subject]:
    """One limited key."""
    return (Subject("key:a", "key", msgspec.structs.replace(Allowance(), **limits)),)


def admitted(verdict: Reservation | Refusal) -> Reservation:
    """The reservation, which there must be."""
    assert isinstance(verdict, Reservation)
    return verdict


def refused(verdict: Reservation | Refusal) -> Refusal:
    """The refusal, which there must be."""
    assert isinstance(verdict, Refusal)
    return verdict


def count(limiter: LocalLimiter, subjects: tuple[Subject, ...], need: Amount = ONE) -> int:
    """How many requests are admitted now, one after the other, each settled at once as estimated."""
    for n in range(1000):
        verdict = limiter.reserve_now(subjects, need, LEASE_S)
        if isinstance(verdict, Refusal):
            return n
        limiter.settle(verdict, None)
    return 1000


@settings(max_examples=400)
@given(history=steps)
def test_it_does_what_the_model_does(history: list[Step]) -> None:
    """Every history: the same requests are admitted, and a refusal names a limit that is in the way."""
    limiter, clock = made()
    model = Model()
    given_out: list[Reservation] = []
    now_ms = START_MS

    for step in history:
        match step:
            case Advance(ms):
                clock.advance(ms / 1000)
                now_ms += ms
            case Reserve(subjects, need, lease_ms):
                expected = model.reserve(len(given_out), subjects, need, lease_ms, now_ms)
                verdict = limiter.reserve_now(subjects, need, lease_ms / 1000)
                if isinstance(verdict, Reservation):
                    assert not expected
                    given_out.append(verdict)
                else:
                    assert (verdict.subject.name, verdict.limit) in expected
            case Settle(which, actual) if which < len(given_out):
                reservation = given_out[which]
                model.settle(which, reservation.subjects, charge(reservation, actual), now_ms)
                limiter.settle(reservation, actual)
            case Settle():
                pass


@given(limit=st.integers(1, 50), times=st.lists(st.integers(0, 200).map(lambda n: n * 125), max_size=150))
def test_no_interval_admits_more_than_a_burst_and_its_refill(limit: int, times: list[int]) -> None:
    """In any w seconds at most N + N * w / 60."""
    limiter, clock = made()
    at_ms, went = 0, list[int]()
    for ms in times:
        clock.advance(ms / 1000)
        at_ms += ms
        if isinstance(limiter.reserve_now(key(requests_per_minute=limit), ONE, LEASE_S), Reservation):
            went.append(at_ms)

    for first in range(len(went)):
        for last in range(first, len(went)):
            assert last - first + 1 <= limit + limit * (went[last] - went[first]) / 60_000


@given(
    need=st.builds(Amount, st.integers(1, 500), st.integers(1, 500)),
    subjects=st.sampled_from(
        [
            key(requests_per_minute=7),
            key(tokens_per_minute=500),
            key(budget_day_microusd=500),
            key(budget_month_microusd=500),
        ]
    ),
)
def test_waiting_as_told_is_enough_and_no_longer_than_needed(need: Amount, subjects: tuple[Subject]) -> None:
    """`retry_after_s` is when the same request is admitted, to the millisecond."""
    limiter, clock = made()
    count(limiter, subjects, need)
    wait_s = refused(limiter.reserve_now(subjects, need, LEASE_S)).retry_after_s
    assert wait_s is not None
    eighths = int(wait_s * 8)
    clock.advance(eighths / 8 - (0.125 if eighths / 8 == wait_s else 0))
    refused(limiter.reserve_now(subjects, need, LEASE_S))

    clock.advance(0.250)

    admitted(limiter.reserve_now(subjects, need, LEASE_S))


def test_a_burst_of_the_limit_then_an_even_refill() -> None:
    """60 per minute: 60 at once, then one per second; never a new minute's worth."""
    limiter, clock = made()
    subjects = key(requests_per_minute=60)
    assert count(limiter, subjects) == 60

    clock.advance(2)

    assert count(limiter, subjects) == 2


def test_a_refused_request_consumes_nothing_anywhere() -> None:
    """All or nothing over all subjects: a key that is at its limit does not eat the llm's."""
    limiter, _ = made()
    mine = Subject("key:a", "key", Allowance(max_concurrent=1))
    llm = Subject("llm:b", "llm", Allowance(requests_per_minute=3))
    admitted(limiter.reserve_now((llm, mine), ONE, LEASE_S))

    for _ in range(100):
        verdict = refused(limiter.reserve_now((llm, mine), ONE, LEASE_S))

    assert (verdict.subject, verdict.limit) == (mine, "concurrency")
    assert count(limiter, (llm,)) == 2


def test_parallel_requests_cannot_beat_a_budget() -> None:
    """What is in progress counts with its estimate; what it did not cost comes back at its end."""
    limiter, _ = made()
    subjects = key(budget_month_microusd=1000)
    held = [admitted(limiter.reserve_now(subjects, Amount(1, 300), LEASE_S)) for _ in range(3)]
    assert refused(limiter.reserve_now(subjects, Amount(1, 300), LEASE_S)).retry_after_s == 1.0

    for one in held:
        limiter.settle(one, Amount(1, 100))

    assert count(limiter, subjects, Amount(1, 100)) == 7


def test_interleaved_tasks_never_exceed_a_limit() -> None:
    """Any interleaving of tasks: never more leases than allowed, and in the end none is left."""
    limiter, _ = made()
    subjects = key(max_concurrent=5)
    alive = most = served = 0

    async def call(turns: int) -> None:
        nonlocal alive, most, served
        verdict = await limiter.reserve(subjects, ONE, LEASE_S)
        if isinstance(verdict, Refusal):
            return
        alive, most, served = alive + 1, max(most, alive + 1), served + 1
        for _ in range(turns):
            await asyncio.sleep(0)
        alive -= 1
        limiter.settle(verdict, None)

    async def storm() -> None:
        tasks = []
        for n in range(200):
            tasks.append(asyncio.create_task(call(n % 7)))
            if not n % 3:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(storm())

    assert most == 5
    assert 5 < served < 200
    assert count(limiter, subjects) == 1000


def test_settling_twice_changes_nothing() -> None:
    """`settle` is idempotent."""
    limiter, _ = made()
    subjects = key(tokens_per_minute=1000, max_concurrent=1)
    reservation = admitted(limiter.reserve_now(subjects, Amount(400), LEASE_S))
    limiter.settle(reservation, Amount(100))

    limiter.settle(reservation, Amount(900))

    assert count(limiter, subjects, Amount(100)) == 9


def test_a_request_that_was_never_sent_is_given_back() -> None:
    """Its place, its tokens and its count; later than its lease it changes nothing."""
    limiter, clock = made()
    subjects = key(requests_per_minute=2, tokens_per_minute=100, max_concurrent=2)
    held = [admitted(limiter.reserve_now(subjects, Amount(40), 30.0)) for _ in range(2)]
    limiter.settle(held[0], NOT_MADE)
    assert count(limiter, subjects, Amount(40)) == 1

    clock.advance(31)
    limiter.settle(held[1], NOT_MADE)

    assert count(limiter, subjects, Amount(1)) == 1


def test_an_answer_larger_than_its_estimate_is_a_debt() -> None:
    """It is not forgiven: nothing more is admitted until it has drained."""
    limiter, clock = made()
    subjects = key(tokens_per_minute=600)
    limiter.settle(admitted(limiter.reserve_now(subjects, Amount(10), LEASE_S)), Amount(1200))

    verdict = refused(limiter.reserve_now(subjects, Amount(10), LEASE_S))
    clock.advance(61)

    assert verdict.retry_after_s == 61.0
    assert count(limiter, subjects, Amount(10)) == 1


def test_an_abandoned_reservation_ends_with_its_lease() -> None:
    """Its place is free again, its estimate is charged, and a late settlement changes nothing."""
    limiter, clock = made()
    subjects = key(tokens_per_minute=100, max_concurrent=1)
    abandoned = admitted(limiter.reserve_now(subjects, Amount(90), 30.0))
    clock.advance(29.875)
    assert refused(limiter.reserve_now(subjects, Amount(10), LEASE_S)).limit == "concurrency"

    clock.advance(0.125)
    late = admitted(limiter.reserve_now(subjects, Amount(10), LEASE_S))
    limiter.settle(abandoned, Amount(0))
    limiter.settle(late, None)

    assert refused(limiter.reserve_now(subjects, Amount(10), LEASE_S)).limit == "tokens"


def test_an_abandoned_estimate_drains_from_when_its_lease_ended() -> None:
    """Not from when somebody looked again."""
    limiter, clock = made()
    subjects = key(tokens_per_minute=100)
    admitted(limiter.reserve_now(subjects, Amount(100), 30.0))

    clock.advance(90)

    assert count(limiter, subjects, Amount(100)) == 1


def test_budgets_begin_anew_with_the_calendar() -> None:
    """Day and month, UTC; a clock that is set back a little does not give a budget twice."""
    limiter, clock = made(START_MS / 1000)
    subjects = key(budget_day_microusd=10)
    assert count(limiter, subjects) == 10
    assert refused(limiter.reserve_now(subjects, ONE, LEASE_S)).retry_after_s == 60.0
    clock.advance(60)
    assert count(limiter, subjects) == 10

    clock.step(-5)
    assert count(limiter, subjects) == 0
    clock.step(10)

    assert count(limiter, subjects) == 0


def test_a_clock_that_was_a_year_ahead_is_corrected() -> None:
    """Budgets are not frozen until that year has come."""
    limiter, clock = made()
    subjects = key(budget_day_microusd=10, budget_month_microusd=25)
    clock.step(365 * 86_400)
    count(limiter, subjects)
    clock.step(-365 * 86_400)

    assert count(limiter, subjects) == 10


def test_what_is_larger_than_the_limit_is_told_not_to_wait() -> None:
    """Waiting would not help: no `retry_after_s`."""
    limiter, _ = made()

    for limits in ({"tokens_per_minute": 99}, {"budget_day_microusd": 99}, {"requests_per_minute": 0}):
        verdict = refused(limiter.reserve_now(key(**limits), Amount(100, 100), LEASE_S))
        assert verdict.retry_after_s is None


def test_a_wait_is_rounded_up_to_the_millisecond() -> None:
    """Who comes when told is not a fraction too early: a seventh of a minute is 8571.43 ms."""
    limiter, _ = made()
    subjects = key(requests_per_minute=7)
    count(limiter, subjects)

    assert refused(limiter.reserve_now(subjects, ONE, LEASE_S)).retry_after_s == 8.572


def test_of_several_limits_the_longest_wait_is_told() -> None:
    """Whoever waits as told is not refused by the next limit."""
    limiter, _ = made()
    quick = Subject("key:a", "key", Allowance(requests_per_minute=60))
    slow = Subject("llm:b", "llm", Allowance(requests_per_minute=6))
    count(limiter, (quick,))
    count(limiter, (slow,))

    verdict = refused(limiter.reserve_now((quick, slow), ONE, LEASE_S))

    assert (verdict.subject, verdict.retry_after_s) == (slow, 10.0)


def test_an_llm_without_a_price_cannot_be_used_under_a_budget() -> None:
    """Unless the key allows it; then it costs nothing there."""
    limiter, _ = made()
    budget = Allowance(budget_day_microusd=10)
    lenient = Allowance(budget_day_microusd=10, allow_unpriced=True)

    verdict = refused(limiter.reserve_now((Subject("key:a", "key", budget),), Amount(5), LEASE_S))

    assert (verdict.limit, verdict.retry_after_s) == ("unpriced", None)
    admitted(limiter.reserve_now((Subject("key:b", "key", lenient),), Amount(5), LEASE_S))


def test_a_request_without_limits_leaves_no_trace() -> None:
    """The fast exit."""
    limiter, _ = made()
    subjects = limited([None, Subject("key:a", "key", Allowance())])

    verdict = limiter.reserve_now(subjects, ONE, LEASE_S)
    limiter.settle(FREE, ONE)

    assert verdict is FREE
    assert len(limiter) == 0


def test_memory_is_bounded_by_those_in_use() -> None:
    """A hundred thousand names come and go and are forgotten; a lease and a spent budget are not."""
    limiter, clock = made(START_MS / 1000 - 10 * 86_400)
    budget = key(budget_month_microusd=3)
    leased = Subject("llm:b", "llm", Allowance(max_concurrent=1))
    count(limiter, budget)
    admitted(limiter.reserve_now((leased,), ONE, 10_000.0))

    for n in range(100_000):
        passing = Subject(f"key:{n}x", "key", Allowance(requests_per_minute=600, max_concurrent=1))
        limiter.settle(admitted(limiter.reserve_now((passing,), ONE, LEASE_S)), ONE)
        clock.advance(0.01)

    assert len(limiter) <= 2 * SWEEP_FLOOR
    assert count(limiter, budget) == 0
    refused(limiter.reserve_now((leased,), ONE, LEASE_S))


def test_a_new_limit_holds_from_its_first_request() -> None:
    """After a reload: what was spent stays spent, the new number counts."""
    limiter, _ = made()
    count(limiter, key(requests_per_minute=10))

    assert count(limiter, key(requests_per_minute=15)) == 5
    assert count(limiter, key(requests_per_minute=5)) == 0


def test_spent_budgets_outlive_a_restart() -> None:
    """Day and month are carried over; another day's are not."""
    before, clock = made()
    subjects = key(budget_day_microusd=10, budget_month_microusd=1000)
    count(before, subjects)
    spendings = before.spendings()

    after = LocalLimiter(clock)
    after.restore(spendings)
    clock.advance(60)
    tomorrow = LocalLimiter(clock)
    tomorrow.restore([*spendings, Spending("key:other", 1, 5, 1, 5)])

    assert count(tomorrow, subjects) == 10
    clock.step(-60)
    assert count(after, subjects) == 0


@pytest.mark.parametrize("limit", [-1, 10**12])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    """Beyond it, no store could count exactly."""
    with pytest.raises(ValueError, match="a limit must be 0 to"):
        Allowance(requests_per_minute=limit)

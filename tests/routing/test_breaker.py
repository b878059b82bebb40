"""The breaker against a small reference model, and its promises one by one."""

import math

from hypothesis import given
from tests.routing.model import LEASE_S, Advance, Begin, End, Model, Override, Step, histories
from tests.routing.model import POLICY as POLICY_OF_MODEL

from tristar.clock import ManualClock
from tristar.routing.breaker import Breaker, State, Window
from tristar.routing.catalog import BreakerPolicy

POLICY = BreakerPolicy(failures=3, min_calls=100, cooldown_s=30, max_cooldown_s=100, probes=1)


def made(policy: BreakerPolicy = POLICY) -> tuple[Breaker, ManualClock, list[State]]:
    """A breaker, its clock, and the transitions it tells of."""
    clock = ManualClock()
    seen: list[State] = []
    return (
        Breaker(policy, clock, lambda before, now: seen.append(now) if before != now else None),
        clock,
        seen,
    )


def state_of(breaker: Breaker) -> State:
    """A reading that the type checker does not take for lasting."""
    return breaker.state


def fail(breaker: Breaker, times: int = 1) -> None:
    """So many calls that were let through fail."""
    for _ in range(times):
        permit = breaker.admit()
        assert permit is not None
        breaker.fail(permit)


def test_it_opens_on_consecutive_failures_and_not_before() -> None:
    """`failures` in a row; a success in between begins the count anew."""
    breaker, _, seen = made()
    fail(breaker, 2)
    permit = breaker.admit()
    assert permit is not None
    breaker.succeed(permit)
    fail(breaker, 2)
    assert state_of(breaker) == State.CLOSED

    fail(breaker)

    assert state_of(breaker) == State.OPEN
    assert breaker.admit() is None
    assert seen == [State.OPEN]


def test_it_opens_on_the_ratio_of_a_window() -> None:
    """Half of at least `min_calls` within the window, even if no two failures follow each other."""
    breaker, clock, _ = made(BreakerPolicy(failures=100, failure_ratio=0.5, min_calls=10, window_s=30))
    for call in range(10):
        permit = breaker.admit()
        assert permit is not None
        assert state_of(breaker) == State.CLOSED
        breaker.fail(permit) if call % 2 else breaker.succeed(permit)
        clock.advance(1)

    assert state_of(breaker) == State.OPEN


def test_failures_older_than_the_window_do_not_count() -> None:
    """The ratio looks back `window_s` and no further."""
    window = Window(30)
    window.add(0, failed=True)
    window.add(40, failed=False)

    assert window.totals(41) == (1, 0)


def test_half_open_lets_one_probe_through_and_closes_on_its_success() -> None:
    """Everyone else is refused until the probe reports."""
    breaker, clock, seen = made()
    fail(breaker, 3)
    clock.advance(30)
    assert state_of(breaker) == State.HALF_OPEN

    permit = breaker.admit()
    assert permit is not None
    assert breaker.admit() is None
    breaker.succeed(permit)

    assert state_of(breaker) == State.CLOSED
    assert seen == [State.OPEN, State.HALF_OPEN, State.CLOSED]


def test_each_reopening_doubles_the_cooldown_up_to_its_limit() -> None:
    """30, 60, 100, 100 seconds; a success in between begins at 30 again."""
    breaker, clock, _ = made()
    fail(breaker, 3)
    waits = [breaker.wait_s()]
    for _ in range(3):
        clock.advance(breaker.wait_s())
        fail(breaker)
        waits.append(breaker.wait_s())

    assert waits == [30, 60, 100, 100]


def test_a_probe_that_never_reports_is_a_lease_that_ends() -> None:
    """A worker that dies with a probe does not keep the llm out for ever."""
    clock = ManualClock()
    breaker = Breaker(POLICY, clock, lambda _before, _now: None, lease_s=60)
    fail(breaker, 3)
    clock.advance(30)
    assert breaker.admit() is not None
    clock.advance(59)
    assert breaker.admit() is None

    clock.advance(2)

    assert breaker.admit() is not None


def test_reports_from_before_the_outage_change_nothing() -> None:
    """A slow call that began while it was closed neither closes nor re-opens it."""
    breaker, clock, _ = made()
    old = breaker.admit()
    assert old is not None
    fail(breaker, 3)
    clock.advance(30)

    breaker.fail(old)
    assert state_of(breaker) == State.HALF_OPEN
    breaker.succeed(old)

    assert state_of(breaker) == State.HALF_OPEN


def test_a_429_opens_it_for_as_long_as_it_says() -> None:
    """Retry-After is the cooldown, within the limit."""
    breaker, clock, _ = made()
    permit = breaker.admit()
    assert permit is not None
    breaker.fail(permit, retry_after_s=7)

    assert state_of(breaker) == State.OPEN
    assert breaker.wait_s() == 7
    clock.advance(7)
    assert state_of(breaker) == State.HALF_OPEN


def test_forced_open_stays_open_until_reset() -> None:
    """An operator's word outlives every cooldown."""
    breaker, clock, _ = made()
    breaker.force_open()
    clock.advance(10_000)
    assert state_of(breaker) == State.OPEN
    assert math.isinf(breaker.open_until)
    assert breaker.free_permit() is None

    breaker.reset()

    assert state_of(breaker) == State.CLOSED


@given(histories)
def test_any_history_agrees_with_the_reference_model(steps: list[Step]) -> None:
    """State, admission and waiting time are those of the model after every step, calls overlapping."""
    clock = ManualClock()
    breaker = Breaker(POLICY_OF_MODEL, clock, lambda _before, _now: None, lease_s=LEASE_S)
    model = Model()
    out: list[tuple[int, int]] = []
    for step in steps:
        match step:
            case Begin():
                permit, period = breaker.admit(), model.begin()
                assert (permit is None) is (period is None)
                if permit is not None and period is not None:
                    out.append((permit, period))
            case End(which, how, retry_after_s) if which < len(out):
                permit, period = out.pop(which)
                report(breaker, permit, how, retry_after_s)
                model.end(period, how, retry_after_s)
            case Advance(seconds):
                clock.advance(seconds)
                model.now += seconds
            case Override(forced):
                (breaker.force_open if forced else breaker.reset)()
                model.override(forced=forced)

        assert breaker.state is model.state()
        assert breaker.wait_s() == model.wait_s()


def report(breaker: Breaker, permit: int, how: str, retry_after_s: int | None) -> None:
    """What a call came to."""
    if how == "well":
        breaker.succeed(permit)
    elif how == "ill":
        breaker.fail(permit, retry_after_s)
    else:
        breaker.abandon(permit)

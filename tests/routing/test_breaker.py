"""The breaker against a small reference model, and its promises one by one."""

import math
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tristar.clock import ManualClock
from tristar.routing.breaker import Breaker, State, Window
from tristar.routing.catalog import BreakerPolicy

POLICY = BreakerPolicy(failures=3, min_calls=100, cooldown_s=30, max_cooldown_s=100, probes=1)


def made(policy: BreakerPolicy = POLICY) -> tuple[Breaker, ManualClock, list[State]]:
    """A breaker, its clock, and the transitions it tells of."""
    clock = ManualClock()
    seen: list[State] = []
    return Breaker(policy, clock, seen.append), clock, seen


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
    breaker = Breaker(POLICY, clock, lambda _: None, lease_s=60)
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


@dataclass
class Model:
    """The breaker's rules in their plainest form: lists instead of windows, no permits reused."""

    now: float = 0.0
    consecutive: int = 0
    opened_at: float | None = None
    cooldown: float = 0.0
    reopened: int = 0
    probing: bool = False
    calls: list[tuple[float, bool]] = field(default_factory=list)

    def state(self) -> State:
        """Derived from the clock alone."""
        if self.opened_at is None:
            return State.CLOSED
        return State.OPEN if self.now < self.opened_at + self.cooldown else State.HALF_OPEN

    def admit(self) -> bool:
        """One probe at a time in half-open."""
        state = self.state()
        if state is State.HALF_OPEN and not self.probing:
            self.probing = True
            return True
        return state is State.CLOSED

    def report(self, well: bool) -> None:
        """The end of the one call under way."""
        if self.state() is State.HALF_OPEN:
            self.probing = False
            if well:
                self.opened_at, self.reopened, self.consecutive = None, 0, 0
            else:
                self.reopened += 1
                self.open()
            return
        self.consecutive = 0 if well else self.consecutive + 1
        if self.consecutive >= POLICY.failures:
            self.open()

    def open(self) -> None:
        """Closed for twice as long each time."""
        self.cooldown = min(POLICY.cooldown_s * 2**self.reopened, POLICY.max_cooldown_s)
        self.opened_at, self.probing = self.now, False


STEPS = st.lists(
    st.one_of(st.sampled_from(["well", "ill"]), st.sampled_from([1.0, 10.0, 29.0, 30.0, 61.0])), max_size=60
)


@given(STEPS)
def test_any_history_agrees_with_the_reference_model(steps: list[str | float]) -> None:
    """State, admission and waiting time are those of the model after every step."""
    breaker, clock, _ = made()
    model = Model()
    for step in steps:
        if isinstance(step, float):
            clock.advance(step)
            model.now += step
        else:
            permit, expected = breaker.admit(), model.admit()
            assert (permit is not None) is expected
            if permit is not None:
                (breaker.succeed if step == "well" else breaker.fail)(permit)
                model.report(step == "well")

        assert breaker.state is model.state()

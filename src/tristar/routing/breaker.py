"""The circuit breaker: pure, clock injected, one per llm.

Closed lets everything through. Open lets nothing through until its cooldown ends. Half-open
lets `probes` calls through at a time; one success closes it, one failure re-opens it for twice
as long. A call's report counts only in the period that admitted it (its permit), so that a
slow call from before the outage neither closes nor re-opens anything. The state is derived
from the clock when it is asked for, so it is never stale.

A breaker decides by itself, or follows what was decided elsewhere: see `shared`.
"""

import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from tristar.clock import Clock
from tristar.routing.catalog import BreakerPolicy

BUCKETS = 10


class State(enum.IntEnum):
    """The values of `ailinux_circuit_breaker_state`."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


@dataclass(slots=True)
class _Bucket:
    start: float
    calls: int = 0
    failures: int = 0


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """What has become of an llm, in a form that crosses hosts; the latest period holds.

    `period` is named by the Unix time in milliseconds at which it began, or 1 if nothing ever
    happened. `till_ms` is the Unix time at which the cooldown ends, 0 while closed.
    """

    llm_id: str
    period: int
    till_ms: float
    forced: bool
    reopened: int


class Window:
    """Calls and failures of the last `window_s` seconds, in a tenth's steps; bounded memory."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._step_s = window_s / BUCKETS
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS + 1)
        self._newest = _Bucket(-math.inf)
        """The bucket that fills, or one that is long over."""

    def add(self, now: float, *, failed: bool) -> None:
        """Note one finished call."""
        bucket = self._newest
        if now - bucket.start >= self._step_s:
            bucket = self._newest = _Bucket(now)
            self._buckets.append(bucket)
        bucket.calls += 1
        if failed:
            bucket.failures += 1

    def totals(self, now: float) -> tuple[int, int]:
        """(calls, failures) within the window."""
        oldest = now - self._window_s
        while self._buckets and self._buckets[0].start <= oldest:
            self._buckets.popleft()
        return sum(b.calls for b in self._buckets), sum(b.failures for b in self._buckets)

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self._newest = _Bucket(-math.inf)


class Breaker:
    """One llm's breaker. Not thread-safe.

    `changed(before, now)` is told of each transition as it is noticed, and, with both the same, of
    a new free permit or a later deadline without one. `lease_s` bounds a probe: one that never
    reports is given up after it.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        clock: Clock,
        changed: Callable[[State, State], None],
        lease_s: float = 900.0,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._changed = changed
        self._lease_s = lease_s
        self._window = Window(policy.window_s)
        self._consecutive = 0
        self._open_until: float | None = None
        self._reopened = 0
        self._probes: list[float] = []
        self._seen = State.CLOSED
        self._shown: tuple[int | None, float] = (1, 0.0)
        self._forced = False
        self._period = 1

    @property
    def state(self) -> State:
        """The state now."""
        if self._forced:
            return State.OPEN
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._clock.monotonic() < self._open_until else State.HALF_OPEN

    @property
    def open_until(self) -> float:
        """Monotonic time from which a probe may go; 0 when calls go through freely."""
        if self._forced:
            return math.inf
        return self._open_until or 0.0

    def wait_s(self) -> float:
        """Seconds until a call may be let through; 0 when one may be now, infinite while forced open."""
        return max(0.0, self.open_until - self._clock.monotonic())

    def free_permit(self) -> int | None:
        """A permit if calls go through freely, None if `admit` must be asked."""
        return self._period if self._open_until is None and not self._forced else None

    def admit(self) -> int | None:
        """A permit for one call, or None. In half-open it takes a probe's place until it reports."""
        state = self.observe()
        if state is State.CLOSED:
            return self._period
        if state is State.OPEN:
            return None
        now = self._clock.monotonic()
        self._probes = [lease for lease in self._probes if lease > now]
        if len(self._probes) >= self._policy.probes:
            return None
        self._probes.append(now + self._lease_s)
        return self._period

    def succeed(self, permit: int) -> None:
        """The call of that permit came to its proper end."""
        state = State.CLOSED
        if self._open_until is not None or self._forced or self._shown[0] != self._period:
            state = self.observe()  # the way of few calls
        if permit != self._period:
            return
        self._consecutive = 0
        if state is State.CLOSED:
            self._window.add(self._clock.monotonic(), failed=False)
        elif state is State.HALF_OPEN:
            self._close()

    def fail(self, permit: int, retry_after_s: float | None = None) -> None:
        """That call failed in a way that says the llm is ill; `retry_after_s` is its own wish (429)."""
        state = self.observe()
        if permit != self._period:
            self._extend(retry_after_s)
            return
        if state is State.HALF_OPEN:
            self._reopened += 1
            self._open(retry_after_s)
            return
        now = self._clock.monotonic()
        self._consecutive += 1
        self._window.add(now, failed=True)
        if self._is_ill(now) or retry_after_s is not None:
            self._open(retry_after_s)

    def abandon(self, permit: int) -> None:
        """That call ended in a way that says nothing of the llm; a probe's place is free again."""
        if permit == self._period and self._probes:
            self._probes.pop()

    def force_open(self) -> None:
        """Keep it open until `reset`."""
        self._forced = True
        self._begin_period()
        self.observe()

    def reset(self) -> None:
        """Close it and forget the past."""
        self._forced = False
        self._close()

    def decision(self, llm_id: str) -> Decision | None:
        """What became of it, for those who are to follow; None if nothing ever happened."""
        if self._period == 1:
            return None
        till = self._open_until
        till_ms = 0.0 if till is None else self._unix_ms() + (till - self._clock.monotonic()) * 1000
        return Decision(llm_id, self._period, till_ms, self._forced, self._reopened)

    def follow(self, decision: Decision, now_ms: float) -> None:
        """Be as was decided elsewhere, unless this one knows better; `now_ms` is the time there."""
        self.observe()
        if decision.period < self._period:
            return
        if decision.period > self._period:
            self._period = decision.period
            self._consecutive = 0
            self._probes.clear()
            self._window.clear()
        self._forced, self._reopened = decision.forced, decision.reopened
        self._open_until = None
        if decision.till_ms:
            self._open_until = self._clock.monotonic() + (decision.till_ms - now_ms) / 1000
        self.observe()

    def observe(self) -> State:
        """The state now; a transition that only the clock has made is told of."""
        if self._open_until is None and not self._forced and self._shown[0] == self._period:
            return State.CLOSED  # as before: the way of nearly every call
        state = self.state
        shown = self.free_permit(), self.open_until
        if state is not self._seen or shown != self._shown:
            before, self._seen, self._shown = self._seen, state, shown
            self._changed(before, state)
        return state

    def _is_ill(self, now: float) -> bool:
        policy = self._policy
        if self._consecutive >= policy.failures:
            return True
        calls, failures = self._window.totals(now)
        return calls >= policy.min_calls and failures >= policy.failure_ratio * calls

    def _open(self, retry_after_s: float | None) -> None:
        cooldown_s = min(self._policy.cooldown_s * 2.0**self._reopened, self._policy.max_cooldown_s)
        if retry_after_s is not None:
            cooldown_s = min(max(retry_after_s, 1.0), self._policy.max_cooldown_s)
        self._open_until = self._clock.monotonic() + cooldown_s
        self._begin_period()
        self.observe()

    def _extend(self, retry_after_s: float | None) -> None:
        if retry_after_s is None or self._open_until is None:
            return
        wished = self._clock.monotonic() + min(retry_after_s, self._policy.max_cooldown_s)
        self._open_until = max(self._open_until, wished)

    def _close(self) -> None:
        self._open_until = None
        self._reopened = 0
        self._consecutive = 0
        self._begin_period()
        self.observe()

    def _begin_period(self) -> None:
        self._period = max(self._period + 1, self._unix_ms())
        self._probes.clear()
        self._window.clear()

    def _unix_ms(self) -> int:
        return int(self._clock.time() * 1000)

"""A breaker as one would write it on a whiteboard: it remembers every call and computes all from the list.

Times are whole seconds. `histories` are what may happen to it.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from tristar.routing.breaker import State
from tristar.routing.catalog import BreakerPolicy

POLICY = BreakerPolicy(
    failures=3, failure_ratio=0.5, min_calls=6, window_s=30, cooldown_s=30, max_cooldown_s=100, probes=2
)
LEASE_S = 60


@dataclass(frozen=True)
class Begin:
    """A call asks whether it may go."""


@dataclass(frozen=True)
class End:
    """The call that has been out for longest, or the `which`th after it, comes to this."""

    which: int
    how: str
    retry_after_s: int | None = None


@dataclass(frozen=True)
class Advance:
    """Time passes."""

    seconds: int


@dataclass(frozen=True)
class Override:
    """An operator keeps the llm out, or lets it in again."""

    forced: bool


Step = Begin | End | Advance | Override

ENDS = st.one_of(
    st.builds(End, st.integers(0, 3), st.sampled_from(["well", "ill", "nothing"])),
    st.builds(End, st.integers(0, 3), st.just("ill"), st.sampled_from([None, 0, 7, 45, 300])),
)
histories = st.lists(
    st.one_of(
        st.just(Begin()),
        st.just(Begin()),
        ENDS,
        ENDS,
        st.builds(Advance, st.sampled_from([1, 2, 3, 10, 29, 30, 31, 61, 100])),
        st.builds(Override, st.booleans()),
    ),
    max_size=50,
)


@dataclass
class Model:
    """The rules in their plainest form. A period is a number that goes up with each transition."""

    now: int = 0
    period: int = 1
    till: float | None = None
    forced: bool = False
    reopened: int = 0
    row: int = 0
    """Failures one after the other."""
    probes: list[int] = field(default_factory=list)
    calls: list[tuple[int, bool]] = field(default_factory=list)

    def state(self) -> State:
        """Derived from the clock alone."""
        if self.forced:
            return State.OPEN
        if self.till is None:
            return State.CLOSED
        return State.OPEN if self.now < self.till else State.HALF_OPEN

    def wait_s(self) -> float:
        """Until a call may go."""
        if self.forced:
            return float("inf")
        return 0 if self.till is None else max(0, self.till - self.now)

    def begin(self) -> int | None:
        """The period that lets the call go."""
        self.probes = [end for end in self.probes if end > self.now]
        if self.state() is State.OPEN:
            return None
        if self.state() is State.HALF_OPEN:
            if len(self.probes) >= POLICY.probes:
                return None
            self.probes.append(self.now + LEASE_S)
        return self.period

    def end(self, period: int, how: str, retry_after_s: int | None) -> None:
        """What a call of that period came to."""
        if period != self.period:
            if how == "ill" and retry_after_s is not None and self.till is not None:
                self.till = max(self.till, self.now + min(retry_after_s, POLICY.max_cooldown_s))
        elif how == "nothing":
            self.probes = self.probes[:-1]
        elif how == "well":
            self.well()
        else:
            self.ill(retry_after_s)

    def well(self) -> None:
        """A proper end."""
        self.row = 0
        if self.state() is State.HALF_OPEN:
            self.close()
        elif self.state() is State.CLOSED:
            self.calls.append((self.now, False))

    def ill(self, retry_after_s: int | None) -> None:
        """A failure that counts."""
        if self.state() is State.HALF_OPEN:
            self.reopened += 1
            self.open(retry_after_s)
            return
        self.row += 1
        self.calls.append((self.now, True))
        recent = self.recent()
        too_many = len(recent) >= POLICY.min_calls and sum(recent) >= POLICY.failure_ratio * len(recent)
        if self.row >= POLICY.failures or too_many or retry_after_s is not None:
            self.open(retry_after_s)

    def recent(self) -> list[bool]:
        """The calls of the window; they are taken together in tenths of it."""
        tenth = POLICY.window_s / 10
        begun, found = -1e9, []
        for at, failed in self.calls:
            if at - begun >= tenth:
                begun = at
            found.append((begun, failed))
        return [failed for begun, failed in found if begun > self.now - POLICY.window_s]

    def open(self, retry_after_s: int | None) -> None:
        """For twice as long each time, or as long as it asks for itself."""
        cooldown = min(POLICY.cooldown_s * 2**self.reopened, POLICY.max_cooldown_s)
        if retry_after_s is not None:
            cooldown = min(max(retry_after_s, 1), POLICY.max_cooldown_s)
        self.till = self.now + cooldown
        self.turn()

    def close(self) -> None:
        """All is forgotten."""
        self.till, self.reopened, self.row = None, 0, 0
        self.turn()

    def override(self, *, forced: bool) -> None:
        """An operator's word."""
        self.forced = forced
        if forced:
            self.turn()
        else:
            self.close()

    def turn(self) -> None:
        """Another period."""
        self.period += 1
        self.probes, self.calls = [], []

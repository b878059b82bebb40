"""Time as an argument: production reads the machine, tests advance it by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time; every part that waits or stamps takes one."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never steps back. For durations and deadlines."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch; may step. For timestamps only."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, at: float = 1_750_000_000.0) -> None:
        self._monotonic = 1_000.0
        self._time = at

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._monotonic

    def time(self) -> float:
        """See `Clock.time`."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Move both readings forward together."""
        self._monotonic += seconds
        self._time += seconds

    def step(self, seconds: float) -> None:
        """Step the wall clock alone, as NTP or an operator would."""
        self._time += seconds

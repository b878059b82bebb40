"""Notices of the same kind about the same caller, folded: the first is recorded, those that follow counted.

So the log tells at once that somebody is turned away, and nobody can flood it by being turned away again
and again. The counts of a caller's records add up to how often it happened.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tristar.auth.address import network_of
from tristar.clock import Clock
from tristar.ledger import Notice

WINDOW_S = 60.0
"""What follows a recorded notice within this time is counted, and recorded as one at its end."""

LOGIN_S = 3600.0
"""A key in use from an address is recorded this often at the most."""

MOST_CALLERS = 10_000
"""Beyond so many callers within a window all others are counted as one, without address and key."""

Caller = tuple[str, str | None, str | None]


@dataclass(slots=True)
class Fold:
    """Notices that one record tells of; times are seconds since the epoch."""

    last: Notice
    since: float
    until: float
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    folded: bool = True
    """Whether this stands for what followed a recorded notice."""

    def add(self, notice: Notice, at: float) -> None:
        """One more."""
        self.last, self.until = notice, at
        self.count += 1
        self.reasons[notice.reason] += 1


class Folds:
    """Event-loop thread only. `record` makes the record of a fold."""

    def __init__(self, clock: Clock, record: Callable[[Fold], None]) -> None:
        self._clock = clock
        self._record = record
        self._open: dict[Caller, tuple[float, Fold | None]] = {}
        self._logins: dict[Caller, float] = {}

    def take(self, notice: Notice) -> None:
        """Record the notice, or count it."""
        caller = notice.action, notice.user_id, network_of(notice.ip_address)
        if notice.action == "auth_success":
            self._take_login(caller, notice)
            return
        if caller not in self._open and len(self._open) >= MOST_CALLERS:
            caller = notice.action, None, None
            notice = _of_nobody(notice)
        if caller not in self._open:
            self._open[caller] = self._clock.monotonic() + WINDOW_S, None
            self._record_one(notice)
            return
        due, fold = self._open[caller]
        now = self._clock.time()
        if fold is None:
            fold = Fold(notice, now, now)
            self._open[caller] = due, fold
        fold.add(notice, now)

    def sweep(self) -> None:
        """Record what was counted in windows that are over, and forget them."""
        now = self._clock.monotonic()
        while self._open and next(iter(self._open.values()))[0] <= now:
            self._settle(next(iter(self._open)))
        while self._logins and next(iter(self._logins.values())) <= now:
            del self._logins[next(iter(self._logins))]

    def flush(self) -> None:
        """Record everything that was counted."""
        while self._open:
            self._settle(next(iter(self._open)))

    def _settle(self, caller: Caller) -> None:
        _, fold = self._open.pop(caller)
        if fold is not None:
            self._record(fold)

    def _take_login(self, caller: Caller, notice: Notice) -> None:
        if caller in self._logins:
            return
        if len(self._logins) >= MOST_CALLERS:
            del self._logins[next(iter(self._logins))]
        self._logins[caller] = self._clock.monotonic() + LOGIN_S
        self._record_one(notice)

    def _record_one(self, notice: Notice) -> None:
        now = self._clock.time()
        fold = Fold(notice, now, now, folded=False)
        fold.add(notice, now)
        self._record(fold)


def _of_nobody(notice: Notice) -> Notice:
    return Notice(
        notice.action, notice.resource, notice.level, notice.reason, None, None, None, notice.trace_id
    )

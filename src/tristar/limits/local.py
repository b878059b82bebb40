"""The limiter of one process; on a host with several workers it lives in the hub."""

import itertools
import math
from collections.abc import Iterable, Sequence

from tristar.clock import Clock
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.calendar import Periods
from tristar.limits.limiter import FREE, Reservation, charge
from tristar.limits.store import Spending
from tristar.limits.usage import MINUTE_MS, Refusal, Usage, refusal, standings, unpriced

SWEEP_FLOOR = 1024
NO_ALLOWANCE = Allowance()
"""That of a subject of which nobody has asked yet."""


class _Account(Usage):
    """One subject's counters and the leases on it: id -> (expires_ms, tokens, microusd)."""

    __slots__ = ("allowance", "at_ms", "day", "leases", "month", "next_expiry_ms")

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.allowance = NO_ALLOWANCE
        self.at_ms = now_ms
        self.day = 0
        self.month = 0
        self.leases: dict[str, tuple[int, int, int]] = {}
        self.next_expiry_ms = math.inf

    def reach(self, now_ms: int, periods: Periods) -> None:
        """Bring it up to date; every use begins with this, or finds that it is."""
        if self.day != periods.day:
            self._renew(periods)
        if now_ms >= self.next_expiry_ms:
            self._expire(now_ms)
        if now_ms > self.at_ms:
            self._drain(now_ms)

    def take(self, id_: str, tokens: int, microusd: int, expires_ms: int) -> None:
        """Draw one request."""
        self.requests += MINUTE_MS
        self.held_tokens += tokens
        self.held_microusd += microusd
        self.leases[id_] = (expires_ms, tokens, microusd)
        self.concurrent += 1
        if expires_ms < self.next_expiry_ms:  # noqa: PLR1730 - half the cost of min(), on the request path
            self.next_expiry_ms = expires_ms

    def release(self, id_: str, tokens: int, microusd: int, *, made: bool = True) -> None:
        """End a lease with these charges; nothing if it has ended."""
        lease = self.leases.pop(id_, None)
        if lease is None:
            return
        if not made:
            self.requests = max(0, self.requests - MINUTE_MS)
        self.concurrent -= 1
        self.held_tokens -= lease[1]
        self.held_microusd -= lease[2]
        self.tokens += tokens * MINUTE_MS
        self.spent_day += microusd
        self.spent_month += microusd

    def is_idle(self, periods: Periods) -> bool:
        """Whether a new account would be as good. Ask after `reach`."""
        if self.requests or self.tokens or self.leases:
            return False
        # not used since `restore`: there may be a budget
        if self.allowance is not NO_ALLOWANCE and not self.allowance.has_budget:
            return True
        return not (self.spent_month and self.month == periods.month) and not self.spent_day

    def _renew(self, periods: Periods) -> None:
        self.day = periods.day
        self.spent_day = 0
        if self.month != periods.month:
            self.month = periods.month
            self.spent_month = 0

    def _drain(self, now_ms: int) -> None:
        elapsed_ms = now_ms - self.at_ms
        self.at_ms = now_ms
        requests = tokens = 0  # without a limit it is measured against nothing: it drains at once
        rate = self.allowance.requests_per_minute
        if rate is not None:
            requests = self.requests - elapsed_ms * rate
        rate = self.allowance.tokens_per_minute
        if rate is not None:
            tokens = self.tokens - elapsed_ms * rate
        self.requests = requests if requests > 0 else 0  # noqa: FURB136 - half the cost of max()
        self.tokens = tokens if tokens > 0 else 0  # noqa: FURB136 - the same

    def _expire(self, now_ms: int) -> None:
        """Charge what was abandoned, each at the time at which its lease ended."""
        over = sorted((lease[0], id_) for id_, lease in self.leases.items() if lease[0] <= now_ms)
        for expires_ms, id_ in over:
            self._drain(max(expires_ms, self.at_ms))
            _, tokens, microusd = self.leases[id_]
            self.release(id_, tokens, microusd)
        self.next_expiry_ms = min((lease[0] for lease in self.leases.values()), default=math.inf)


class LocalLimiter:
    """See `Limiter`. Exact: `reserve_now` always knows. Memory is bounded by the subjects in use.

    Times per minute follow the monotonic clock, budgets the wall clock. It forgets everything with
    its process, unless `spendings` are carried over to the next one's `restore`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._periods = Periods()
        self._ids = itertools.count(1)
        self._sweep_at = SWEEP_FLOOR

    def __len__(self) -> int:
        """Subjects that it keeps account of."""
        return len(self._accounts)

    def reserve_now(self, subjects: Sequence[Subject], need: Amount, lease_s: float) -> Reservation | Refusal:
        """See `Limiter.reserve_now`."""
        if not subjects:
            return FREE
        tokens, microusd = need.tokens, need.cost_microusd
        if microusd is None:
            refused = unpriced(subjects, need)
            if refused is not None:
                return refused
            microusd = 0
        now_ms = self._now_ms()
        accounts = self._reached(subjects, now_ms)
        for account in accounts:
            if not account.fits(account.allowance, tokens, microusd):
                return self._refused(subjects, accounts, need)
        id_ = str(next(self._ids))
        expires_ms = now_ms + int(lease_s * 1000)
        for account in accounts:
            account.take(id_, tokens, microusd, expires_ms)
        return Reservation(id_, subjects, need, standings(subjects, accounts), kept=accounts)

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """See `Limiter.reserve`."""
        return self.reserve_now(subjects, need, lease_s)

    def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Limiter.settle`."""
        if reservation.settled or not reservation.subjects:
            return
        reservation.settled = True
        tokens, microusd = charge(reservation, actual)
        made = actual is None or actual.made
        now_ms, periods = self._now_ms(), self._periods
        for account in reservation.kept:  # one that holds a lease is not swept away
            if now_ms > account.at_ms or now_ms >= account.next_expiry_ms or account.day != periods.day:
                account.reach(now_ms, periods)
            account.release(reservation.id, tokens, microusd, made=made)

    async def usages(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """See `Readable.usages`."""
        return self._reached(subjects, self._now_ms())

    def spendings(self) -> Sequence[Spending]:
        """What has been spent of budgets in the current day and month."""
        self._now_ms()
        return [
            Spending(name, account.day, account.spent_day, account.month, account.spent_month)
            for name, account in self._accounts.items()
            if account.spent_month and account.month == self._periods.month
        ]

    def restore(self, spendings: Iterable[Spending]) -> None:
        """Take at least this as spent; what belongs to another period is dropped."""
        now_ms = self._now_ms()
        for one in spendings:
            account = self._accounts.setdefault(one.name, _Account(now_ms))
            account.reach(now_ms, self._periods)
            if one.day == account.day:
                account.spent_day = max(account.spent_day, one.spent_day)
            if one.month == account.month:
                account.spent_month = max(account.spent_month, one.spent_month)

    def spend(self, name: str, microusd: int) -> None:
        """Take note of what was spent elsewhere, in a store that may go away."""
        now_ms = self._now_ms()
        account = self._accounts.setdefault(name, _Account(now_ms))
        account.reach(now_ms, self._periods)
        account.spent_day += microusd
        account.spent_month += microusd

    def _now_ms(self) -> int:
        time_s, periods = self._clock.time(), self._periods
        if not periods.since_s <= time_s < periods.till_s:
            periods.reach(time_s)
        return int(self._clock.monotonic() * 1000)

    def _reached(self, subjects: Sequence[Subject], now_ms: int) -> list[_Account]:
        """The accounts of these subjects, up to date."""
        known, periods = self._accounts, self._periods
        if len(known) >= self._sweep_at:
            self._sweep(now_ms)
        accounts = []
        for subject in subjects:
            name = subject.name
            account = known.get(name) or known.setdefault(name, _Account(now_ms))
            account.allowance = subject.allowance
            if now_ms > account.at_ms or now_ms >= account.next_expiry_ms or account.day != periods.day:
                account.reach(now_ms, periods)
            accounts.append(account)
        return accounts

    def _sweep(self, now_ms: int) -> None:
        """Forget who owes nothing; the next one is due when as many again have come."""
        for name, account in list(self._accounts.items()):
            account.reach(now_ms, self._periods)
            if account.is_idle(self._periods):
                del self._accounts[name]
        self._sweep_at = max(SWEEP_FLOOR, 2 * len(self._accounts))

    def _refused(self, subjects: Sequence[Subject], usages: Sequence[Usage], need: Amount) -> Refusal:
        refused = refusal(subjects, usages, need, self._clock.time())
        assert refused is not None  # noqa: S101 - `fits` and `refusal` follow the same rules
        return refused

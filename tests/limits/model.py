"""A limiter as one would write it on a whiteboard: it remembers every charge and computes all from the list.

Nothing is drained step by step: a bucket's level is, by definition, the largest excess of charges
over refill in any interval that ends now.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction

from tristar.limits.allowance import Amount, Limit, Subject


@dataclass
class Lease:
    """One reservation on one subject."""

    id: int
    expires_ms: int
    tokens: int
    microusd: int


@dataclass
class Ledger:
    """One subject's past."""

    requests: list[tuple[int, int]] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)
    money: list[tuple[int, int]] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)


def level(charges: Sequence[tuple[int, int]], per_minute: int, now_ms: int) -> Fraction:
    """Units in a leaky bucket."""
    worst = total = Fraction(0)
    for at_ms, units in sorted(charges, reverse=True):
        total += units
        worst = max(worst, total - Fraction(per_minute * (now_ms - at_ms), 60_000))
    return worst


def day(at_ms: int) -> str:
    """A calendar day."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


class Model:
    """Reserves and settles; `now_ms` is Unix time."""

    def __init__(self) -> None:
        self.ledgers: dict[str, Ledger] = {}

    def reserve(
        self, id_: int, subjects: Sequence[Subject], need: Amount, lease_ms: int, now_ms: int
    ) -> set[tuple[str, Limit]]:
        """The limits in its way; empty when it is admitted."""
        found = {
            (subject.name, limit) for subject in subjects for limit in self.broken(subject, need, now_ms)
        }
        if found:
            return found
        for subject in subjects:
            ledger = self.ledgers[subject.name]
            ledger.requests.append((now_ms, 1))
            ledger.leases.append(Lease(id_, now_ms + lease_ms, need.tokens, need.cost_microusd or 0))
        return found

    def settle(self, id_: int, subjects: Sequence[Subject], actual: tuple[int, int], now_ms: int) -> None:
        """Charge it where its lease is alive."""
        for subject in subjects:
            ledger = self.touched(subject, now_ms)
            for lease in [one for one in ledger.leases if one.id == id_]:
                ledger.leases.remove(lease)
                ledger.tokens.append((now_ms, actual[0]))
                ledger.money.append((now_ms, actual[1]))

    def broken(self, subject: Subject, need: Amount, now_ms: int) -> set[Limit]:
        """The limits of one subject that a request of this size would break."""
        ledger, allowance, found = self.touched(subject, now_ms), subject.allowance, set[Limit]()
        held = sum(lease.tokens for lease in ledger.leases)
        taken = sum(lease.microusd for lease in ledger.leases) + (need.cost_microusd or 0)
        today, month = day(now_ms), day(now_ms)[:7]
        rpm, tpm = allowance.requests_per_minute, allowance.tokens_per_minute
        if rpm is not None and level(ledger.requests, rpm, now_ms) + 1 > rpm:
            found.add("requests")
        if tpm is not None and need.tokens and level(ledger.tokens, tpm, now_ms) + held + need.tokens > tpm:
            found.add("tokens")
        if allowance.max_concurrent is not None and len(ledger.leases) >= allowance.max_concurrent:
            found.add("concurrency")
        spent_day = sum(cost for at_ms, cost in ledger.money if day(at_ms) == today)
        spent_month = sum(cost for at_ms, cost in ledger.money if day(at_ms)[:7] == month)
        budget = allowance.budget_day_microusd
        if need.cost_microusd and budget is not None and spent_day + taken > budget:
            found.add("budget_day")
        budget = allowance.budget_month_microusd
        if need.cost_microusd and budget is not None and spent_month + taken > budget:
            found.add("budget_month")
        return found

    def touched(self, subject: Subject, now_ms: int) -> Ledger:
        """Its past, with what was abandoned charged: tokens when the lease ended, money now that it shows."""
        ledger = self.ledgers.setdefault(subject.name, Ledger())
        for lease in [one for one in ledger.leases if one.expires_ms <= now_ms]:
            ledger.leases.remove(lease)
            ledger.tokens.append((lease.expires_ms, lease.tokens))
            ledger.money.append((now_ms, lease.microusd))
        return ledger

"""What a limiter needs of a store that replicas share."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tristar.limits.allowance import Amount, Subject
from tristar.limits.limiter import Reservation
from tristar.limits.usage import Refusal, Standings, Usage


class Spending(msgspec.Struct, frozen=True, array_like=True):
    """What a subject has spent, in millionths of a dollar.

    `day` counts from the Unix epoch, `month` from January of year 0; both are UTC.
    """

    name: str
    day: int
    spent_day: int
    month: int
    spent_month: int


class Verdict(msgspec.Struct, frozen=True):
    """The store's answer: admitted unless `refusal` says why not. `spendings`: of subjects with budgets."""

    refusal: Refusal | None
    standings: Standings
    spendings: Sequence[Spending] = ()


class Store(Protocol):
    """Keeps the counters. Every call is one atomic step over all subjects; none has a deadline of its own.

    Raises `StoreUnavailable`, and nothing else, where it cannot answer. May be cancelled at any time.
    """

    async def open(self) -> None:
        """Make sure that it answers; again after a failure."""
        ...

    async def reserve(self, reservation: Reservation, lease_s: float) -> Verdict:
        """See `Limiter.reserve`."""
        ...

    async def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Limiter.settle`; may be repeated."""
        ...

    async def look(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """How much of each is used, in their order."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...

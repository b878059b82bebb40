"""What the breakers of a host need of a store that all replicas share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tristar.routing.breaker import Decision
from tristar.routing.catalog import BreakerPolicy


@dataclass(slots=True)
class Well:
    """So many calls of that permit came to their proper end, one after the other."""

    llm_id: str
    policy: BreakerPolicy
    permit: int
    calls: int


@dataclass(slots=True)
class Ill:
    """A call failed in a way that says that the llm is ill; `retry_after_s` is its own wish."""

    llm_id: str
    policy: BreakerPolicy
    permit: int
    retry_after_s: float | None


@dataclass(slots=True)
class Nothing:
    """A probe ended in a way that says nothing; its place is free."""

    llm_id: str
    policy: BreakerPolicy
    permit: int


@dataclass(slots=True)
class Probe:
    """May a call go? `answer` is where the permit, or None, is waited for."""

    llm_id: str
    policy: BreakerPolicy
    lease_s: float
    answer: "asyncio.Future[int | None]"


@dataclass(slots=True)
class Merge:
    """What one host has decided by itself; it holds everywhere unless something later was decided."""

    llm_id: str
    policy: BreakerPolicy
    decision: Decision


Order = Well | Ill | Nothing | Probe | Merge


@dataclass(frozen=True, slots=True)
class Known:
    """How far a host knows the store: `version` counts the changes of one `epoch`."""

    epoch: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """The store's answer: all changes since what was known, and for each `Probe` a permit or None."""

    known: Known
    now_ms: float
    changes: Sequence[Decision]
    permits: Sequence[int | None]


class BreakerStore(Protocol):
    """Keeps the breakers. Every call is one atomic step; none has a deadline of its own.

    Raises `StoreUnavailable`, and nothing else, where it cannot answer. May be cancelled at any time.
    """

    async def open(self) -> None:
        """Make sure that it answers; again after a failure."""
        ...

    async def exchange(self, orders: Sequence[Order], known: Known) -> News:
        """Enter these in their order, and learn what has changed."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...

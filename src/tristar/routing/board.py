"""The breakers of one host: what the relay asks, and the one place of the host that answers."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from tristar.clock import Clock
from tristar.errors import ModelNotFound
from tristar.routing.breaker import Breaker, Decision, State
from tristar.routing.catalog import BreakerPolicy, Catalog

DYNAMIC_LIMIT = 1_000
LEASE_MARGIN_S = 5.0


class Breakers(Protocol):
    """What the relay asks before and tells after an attempt. Names are llm_ids."""

    def free_permit(self, llm_id: str) -> int | None:
        """A permit if calls go through freely, else None; a local reading, no waiting."""
        ...

    async def admit(self, llm_id: str) -> int | None:
        """A permit for one call or None; asked when there is no free one. It takes a probe's place."""
        ...

    def wait_s(self, llm_id: str) -> float:
        """Seconds until the next probe may go, as far as is known here."""
        ...

    def succeeded(self, llm_id: str, permit: int) -> None:
        """The attempt came to its proper end."""
        ...

    def failed(self, llm_id: str, permit: int, retry_after_s: float | None) -> None:
        """The attempt failed in a way that says the llm is ill."""
        ...

    def abandoned(self, llm_id: str, permit: int) -> None:
        """The attempt ended in a way that says nothing of the llm."""
        ...


NO_BREAKER = 1
"""The permit of an llm without a breaker: equal to a new breaker's first period."""


class Board(Breakers, Protocol):
    """The breakers where they live: what the hub of a host reads and orders. Event-loop thread only."""

    def adopt(self, catalog: Catalog) -> None:
        """Take a reloaded catalogue over; an llm whose policy is unchanged keeps its state."""
        ...

    def states(self) -> Mapping[str, State]:
        """Each llm's state now; from any thread."""
        ...

    def breaker(self, llm_id: str) -> Breaker | None:
        """One llm's breaker, if it has one; to be read."""
        ...

    def override(self, llm_id: str, *, forced: bool) -> bool:
        """Keep an llm out until it is let in again (`forced=False`); False if it has no breaker."""
        ...


class BreakerBoard:
    """The breakers of one host, deciding by themselves. Event-loop thread only.

    Every configured llm has one from the start. An llm of an open provider gets one on its
    first failure, at most `DYNAMIC_LIMIT` of them, since its name is the client's to choose.
    """

    def __init__(self, catalog: Catalog, clock: Clock, changed: Callable[[str, State, State], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._catalog = catalog
        self._breakers: dict[str, Breaker] = {}
        self.adopt(catalog)

    def adopt(self, catalog: Catalog) -> None:
        """See `Board.adopt`."""
        former, self._catalog = self._catalog, catalog
        kept = {}
        for llm_id, llm in catalog.llms.items():
            before = former.llms.get(llm_id)
            breaker = self._breakers.get(llm_id)
            unchanged = before is not None and before.breaker == llm.breaker
            kept[llm_id] = breaker if breaker is not None and unchanged else self._new(llm_id)
        self._breakers = kept

    def states(self) -> Mapping[str, State]:
        """See `Board.states`."""
        # A copy first: scrapes read this from their own thread.
        return {llm_id: breaker.state for llm_id, breaker in list(self._breakers.items())}

    def breaker(self, llm_id: str) -> Breaker | None:
        """See `Board.breaker`."""
        return self._breakers.get(llm_id)

    def some(self, llm_id: str) -> Breaker | None:
        """One llm's breaker, made if need be; None if there are too many, or there is no such llm."""
        breaker = self._breakers.get(llm_id)
        if breaker is None and len(self._breakers) < DYNAMIC_LIMIT + len(self._catalog.llms):
            with contextlib.suppress(ModelNotFound):
                breaker = self._breakers[llm_id] = self._new(llm_id)
        return breaker

    def decisions(self) -> Sequence[Decision]:
        """What has become of each llm to which anything happened."""
        found = (breaker.decision(llm_id) for llm_id, breaker in self._breakers.items())
        return [decision for decision in found if decision is not None]

    def policy(self, llm_id: str) -> tuple[BreakerPolicy, float]:
        """An llm's policy, and how long one of its probes is leased, in seconds."""
        llm = self._catalog.find(llm_id)
        return llm.breaker, llm.timeout_s + LEASE_MARGIN_S

    def override(self, llm_id: str, *, forced: bool) -> bool:
        """See `Board.override`."""
        breaker = self._breakers.get(llm_id)
        if breaker is None:
            return False
        if forced:
            breaker.force_open()
        else:
            breaker.reset()
        return True

    def free_permit(self, llm_id: str) -> int | None:
        """See `Breakers.free_permit`."""
        breaker = self._breakers.get(llm_id)
        return NO_BREAKER if breaker is None else breaker.free_permit()

    async def admit(self, llm_id: str) -> int | None:
        """See `Breakers.admit`."""
        return self.admit_now(llm_id)

    def admit_now(self, llm_id: str) -> int | None:
        """`admit` for whoever holds the board itself."""
        breaker = self._breakers.get(llm_id)
        return NO_BREAKER if breaker is None else breaker.admit()

    def wait_s(self, llm_id: str) -> float:
        """See `Breakers.wait_s`."""
        breaker = self._breakers.get(llm_id)
        return 0.0 if breaker is None else breaker.wait_s()

    def succeeded(self, llm_id: str, permit: int) -> None:
        """See `Breakers.succeeded`."""
        breaker = self._breakers.get(llm_id)
        if breaker is not None:
            breaker.succeed(permit)

    def failed(self, llm_id: str, permit: int, retry_after_s: float | None) -> None:
        """See `Breakers.failed`."""
        breaker = self.some(llm_id)
        if breaker is not None:
            breaker.fail(permit, retry_after_s)

    def abandoned(self, llm_id: str, permit: int) -> None:
        """See `Breakers.abandoned`."""
        breaker = self._breakers.get(llm_id)
        if breaker is not None:
            breaker.abandon(permit)

    def _new(self, llm_id: str) -> Breaker:
        policy, lease_s = self.policy(llm_id)
        return Breaker(
            policy, self._clock, lambda before, now: self._changed(llm_id, before, now), lease_s=lease_s
        )

"""The breakers of one host: what the relay asks, and the one place that answers."""

from collections.abc import Callable, Mapping
from typing import Protocol

from tristar.clock import Clock
from tristar.routing.breaker import Breaker, State
from tristar.routing.catalog import Catalog

DYNAMIC_LIMIT = 1_000


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


class BreakerBoard:
    """The breakers themselves; implements `Breakers` where they live. Event-loop thread only.

    Every configured llm has one from the start. An llm of an open provider gets one on its
    first failure, at most `DYNAMIC_LIMIT` of them, since its name is the client's to choose.
    """

    def __init__(self, catalog: Catalog, clock: Clock, changed: Callable[[str, State], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._catalog = catalog
        self._breakers: dict[str, Breaker] = {}
        self.adopt(catalog)

    def adopt(self, catalog: Catalog) -> None:
        """Take a reloaded catalogue over; an llm whose policy is unchanged keeps its state."""
        former, self._catalog = self._catalog, catalog
        kept = {}
        for llm_id, llm in catalog.llms.items():
            before = former.llms.get(llm_id)
            breaker = self._breakers.get(llm_id)
            unchanged = before is not None and before.breaker == llm.breaker
            kept[llm_id] = breaker if breaker is not None and unchanged else self._new(llm_id)
        self._breakers = kept

    def states(self) -> Mapping[str, State]:
        """Each llm's state now."""
        # A copy first: scrapes read this from their own thread.
        return {llm_id: breaker.state for llm_id, breaker in list(self._breakers.items())}

    def breaker(self, llm_id: str) -> Breaker | None:
        """One llm's breaker, if it has one."""
        return self._breakers.get(llm_id)

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
        breaker = self._breakers.get(llm_id)
        if breaker is None:
            if len(self._breakers) >= DYNAMIC_LIMIT + len(self._catalog.llms):
                return
            breaker = self._breakers[llm_id] = self._new(llm_id)
        breaker.fail(permit, retry_after_s)

    def abandoned(self, llm_id: str, permit: int) -> None:
        """See `Breakers.abandoned`."""
        breaker = self._breakers.get(llm_id)
        if breaker is not None:
            breaker.abandon(permit)

    def _new(self, llm_id: str) -> Breaker:
        llm = self._catalog.find(llm_id)
        return Breaker(
            llm.breaker, self._clock, lambda state: self._changed(llm_id, state), lease_s=llm.timeout_s + 5.0
        )

"""What operators may order while the gateway runs: read and override breakers, reload the configuration."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tristar.clock import Clock
from tristar.errors import BadRequest, NotFound
from tristar.host.frames import Done, FromHub, Order
from tristar.host.hub import Hub
from tristar.host.link import Link
from tristar.host.verdict import Verdict
from tristar.routing.breaker import State

Reload = Callable[[], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class BreakerView:
    """One breaker as an operator sees it; `retry_in_s` is None while forced open or closed."""

    llm_id: str
    state: State
    retry_in_s: float | None


class HubOrders:
    """Orders given in the process that holds the hub. `reload` returns the problems, none if it is done."""

    def __init__(self, hub: Hub, reload: Reload, verdict: Verdict) -> None:
        self._hub = hub
        self._reload = reload
        self._verdict = verdict

    def breakers(self) -> list[BreakerView]:
        """Every breaker there is."""
        board = self._hub.board
        return [
            BreakerView(llm_id, state, _finite(board.wait_s(llm_id)) if state is State.OPEN else None)
            for llm_id, state in board.states().items()
        ]

    async def order(self, name: str, subject: str = "") -> None:
        """Carry out `reload`; `force_open` or `reset` of an llm; or note what was `verified`: `ok` or not.

        Raises:
            NotFound: no breaker of that name.
            BadRequest: the configuration has faults; nothing was changed.
        """
        check(name, await self.carry_out(name, subject))

    async def carry_out(self, name: str, subject: str) -> list[str]:
        """As `order`, with the problems as its answer."""
        if name == "reload":
            return await self._reload()
        if name == "verified":
            await asyncio.to_thread(self._verdict.note, ok=subject == "ok")
            return []
        if not self._hub.board.override(subject, forced=name == "force_open"):
            return [f"there is no breaker for {subject[:200]!r}"]
        return []


class LinkOrders:
    """Orders given in a worker, carried out by its hub."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    def breakers(self) -> list[BreakerView]:
        """See `HubOrders.breakers`; as the hub last told."""
        now = self._clock.monotonic()
        views = []
        for llm_id, known in self._link.breakers.items():
            state = State.CLOSED
            if known.free_permit is None:
                state = State.OPEN if known.open_until > now else State.HALF_OPEN
            wait_s = _finite(known.open_until - now) if state is State.OPEN else None
            views.append(BreakerView(llm_id, state, wait_s))
        return views

    async def order(self, name: str, subject: str = "") -> None:
        """See `HubOrders.order`."""
        answer: FromHub = await self._link.ask(lambda n: Order(n, name, subject))
        check(name, answer.problems if isinstance(answer, Done) else [])


def check(name: str, problems: list[str]) -> None:
    """Raise what the problems of an order mean to the one who gave it."""
    if not problems:
        return
    if name == "reload":
        raise BadRequest("The configuration was not reloaded: " + " ".join(problems))
    raise NotFound(problems[0])


def _finite(seconds: float) -> float | None:
    return max(0.0, seconds) if math.isfinite(seconds) else None

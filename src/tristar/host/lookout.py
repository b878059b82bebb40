"""What an operator sees of a host, all of its processes together; each view is one JSON document."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from tristar.audit.record import timestamp
from tristar.errors import ModelNotFound, Unavailable
from tristar.host.calls import CallsView
from tristar.host.chronicler import Chronicler
from tristar.host.conditions import Turn
from tristar.host.hub import Hub
from tristar.host.port import Port
from tristar.host.slots import Begun
from tristar.host.vitals import VitalsView
from tristar.limits.allowance import Allowance, Subject
from tristar.limits.use import LimitUse, Use
from tristar.routing.breaker import State
from tristar.routing.catalog import Catalog, Llm

Uses = Callable[[Sequence[Subject]], Awaitable[Sequence[Use]]]
InFlight = Callable[[], Mapping[tuple[str, str], int]]

STATES: Final = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half_open"}


class LlmView(msgspec.Struct):
    """One llm. `in_flight` are the attempts of its model at its provider, whichever llm they are for."""

    llm_id: str
    provider: str
    dialect: str
    model: str
    configured: bool
    state: str
    in_flight: int
    limits: list[LimitUse]
    vitals: VitalsView


class LlmsView(msgspec.Struct):
    """Every llm that is configured, and every other that was called."""

    data: list[LlmView]


class LimitsView(msgspec.Struct):
    """Subjects of limits, the nearest to one first; `more` are left out."""

    data: list[Use]
    more: int


class TurnsView(msgspec.Struct):
    """Since when this host has been up, and the turns of its dependencies since then."""

    started_at: str
    turns: Mapping[str, Sequence[Turn]]
    swept_at: str | None
    swept_entries: int


class HubLookout:
    """See `edge.lookout.Lookout`; in the process that holds the hub. Event-loop thread only."""

    def __init__(
        self,
        hub: Hub,
        port: Port,
        *,
        catalog: Callable[[], Catalog],
        uses: Uses,
        in_flight: InFlight,
        begun: Callable[[], Sequence[Begun]],
        chronicler: Chronicler | None,
    ) -> None:
        self._chronicler = chronicler
        self._hub = hub
        self._port = port
        self._catalog = catalog
        self._uses = uses
        self._in_flight = in_flight
        self._begun = begun
        self._started_at = timestamp(hub.clock.time())
        self._swept_at: str | None = None
        self._swept_entries = 0

    def swept(self, entries: int) -> None:
        """So many expired memory entries were deleted just now."""
        self._swept_at = timestamp(self._hub.clock.time())
        self._swept_entries += entries

    async def look(self, what: str, after: int = 0, limit: int = 0) -> bytes:
        """See `Lookout.look`."""
        await self._port.catch_up()
        match what:
            case "llms":
                view: msgspec.Struct = await self._llms()
            case "limits":
                view = await self._limits(limit)
            case "calls":
                view = self._calls(after, limit)
            case "turns":
                turns = self._port.conditions.turns()
                view = TurnsView(self._started_at, turns, self._swept_at, self._swept_entries)
            case "15m" | "4h" | "7d":
                view = await self._measured().history(what)
            case "pulse":
                view = await self._measured().pulse(after / 1000)
            case _:
                raise Unavailable(f"This host does not know what {what[:40]!r} are.")
        return msgspec.json.encode(view)

    def _measured(self) -> Chronicler:
        if self._chronicler is None:
            raise Unavailable("Nothing is measured here.")
        return self._chronicler

    def _calls(self, after: int, limit: int) -> CallsView:
        return self._hub.calls.view(after, limit, self._begun())

    async def _limits(self, limit: int) -> LimitsView:
        uses = await self._uses(self._limited())
        return LimitsView(list(uses[:limit]), max(0, len(uses) - limit))

    async def _llms(self) -> LlmsView:
        catalog = self._catalog()
        known = dict(catalog.llms)
        for llm_id in self._hub.vitals.llm_ids:
            if llm_id not in known:
                try:
                    known[llm_id] = catalog.find(llm_id)
                except ModelNotFound:
                    continue  # it was removed by a reload
        limited = self._limited()
        uses = {use.subject: use.limits for use in await self._uses(limited)} if limited else {}
        states, in_flight = self._hub.board.states(), self._in_flight()
        views = []
        for llm_id, llm in known.items():
            view = LlmView(
                llm_id=llm_id,
                provider=llm.provider.name,
                dialect=llm.provider.dialect,
                model=llm.model,
                configured=llm_id in catalog.llms,
                state=STATES[states.get(llm_id, State.CLOSED)],
                in_flight=in_flight.get((llm.model, llm.provider.name), 0),
                limits=uses.get(f"llm:{llm_id}", []),
                vitals=self._hub.vitals.view(llm_id),
            )
            views.append(view)
        return LlmsView(views)

    def _limited(self) -> list[Subject]:
        """The llms with limits, whether they were called or not."""
        every = (subject_of(llm) for llm in self._catalog().llms.values())
        return [subject for subject in every if not subject.allowance.unlimited]


def subject_of(llm: Llm) -> Subject:
    """An llm as the subject of its own limits."""
    allowance = Allowance(llm.requests_per_minute, llm.tokens_per_minute, llm.max_concurrent)
    return Subject(f"llm:{llm.llm_id}", "llm", allowance)

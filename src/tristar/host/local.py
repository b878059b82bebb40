"""The ledger of a process that holds the hub itself."""

import asyncio
import contextlib
from collections.abc import Mapping

from tristar.audit.draft import Draft
from tristar.audit.record import Scribe
from tristar.clock import Clock
from tristar.errors import NoRecord
from tristar.exchange import Exchange, Outcome
from tristar.host.hub import Hub
from tristar.host.slots import SlotTable
from tristar.ledger import Notice


def no_record(reason: str) -> NoRecord:
    """The refusal that a client sees when its record is not durable."""
    return NoRecord(f"The audit log could not take this request's record: {reason}", retry_after_s=1.0)


class LocalLedger:
    """See `Ledger`; straight into the hub, no process in between."""

    def __init__(
        self, hub: Hub, slots: SlotTable, loop: asyncio.AbstractEventLoop, clock: Clock, *, strict: bool
    ) -> None:
        self._hub = hub
        self._slots = slots
        self._loop = loop
        self._clock = clock
        self._strict = strict

    def check(self) -> None:
        """See `Ledger.check`."""
        self._hub.check()

    def begin(self, exchange: Exchange) -> None:
        """See `Ledger.begin`."""
        exchange.slot = self._slots.take(exchange)

    def notice(self, notice: Notice) -> None:
        """See `Ledger.notice`."""
        self._hub.notice(notice)

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        if self._hub.scribe.awaits(exchange.end_user):
            await prepared(self._hub.scribe, exchange)
        exchange.close(status, outcome, self._clock.monotonic())
        draft = self._hub.scribe.from_exchange(exchange) if exchange.audited else None
        slot = exchange.slot
        if slot >= 0:
            self._slots.retire(slot)
        if draft is None or not self._strict:
            self._hub.enter(draft, exchange.account(), lambda _: self._clear(slot))
            return
        fate: asyncio.Future[bool] = self._loop.create_future()
        self._hub.enter(draft, exchange.account(), lambda durable: _tell(fate, durable=durable))
        durable = await fate
        self._clear(slot)
        if not durable:
            raise no_record(self._hub.unwell)

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange | None = None,
        level: str = "INFO",
    ) -> None:
        """See `Ledger.record`."""
        draft = event_draft(self._hub.scribe, action, resource, details, exchange=exchange, level=level)
        if not self._strict:
            self._hub.enter(draft, None, None)
            return
        fate: asyncio.Future[bool] = self._loop.create_future()
        self._hub.enter(draft, None, lambda durable: _tell(fate, durable=durable))
        if not await fate:
            raise no_record(self._hub.unwell)

    def _clear(self, slot: int) -> None:
        if slot >= 0:
            self._slots.clear(slot)


async def prepared(scribe: Scribe, exchange: Exchange) -> None:
    """Make the key of whom the request is for off the event loop, before its record needs it."""
    with contextlib.suppress(OSError):  # the record says then that it leaves the person out
        await asyncio.to_thread(scribe.prepare, str(exchange.end_user))


def event_draft(
    scribe: Scribe,
    action: str,
    resource: str,
    details: Mapping[str, object],
    *,
    exchange: Exchange | None,
    level: str,
) -> Draft:
    """The record of something beside a request, under the request's own ids if there is one."""
    if exchange is None:
        return scribe.event(action, resource, level, details)
    # What can be erased stands once, in the request's own record of the same trace.
    erasable = scribe.keyring is not None and exchange.end_user is not None
    return scribe.event(
        action,
        resource,
        level,
        details,
        user_id=exchange.actor,
        session_id=None if erasable else exchange.session_id,
        trace_id=exchange.trace_id,
        ip_address=None if erasable else exchange.ip_address,
    )


def _tell(fate: "asyncio.Future[bool]", *, durable: bool) -> None:
    if not fate.done():
        fate.set_result(durable)

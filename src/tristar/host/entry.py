"""The ledger of a serving process, whatever the way to its hub is."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog

from tristar.audit.draft import Draft
from tristar.audit.record import Scribe
from tristar.clock import Clock
from tristar.errors import NoRecord, RecordFailed
from tristar.exchange import Account, Exchange, Outcome
from tristar.host.slots import SlotTable
from tristar.ledger import Notice

Settle = Callable[[bool | None], None]
"""Takes the fate of a record: durable, lost, or None: a defect of ours kept it from being made."""

_log = structlog.get_logger("tristar.host")


class Way(Protocol):
    """How records and accounts reach the hub: in this process, or over a link. Event-loop thread only."""

    @property
    def reason(self) -> str:
        """Why no record can be made durable now; empty when it can."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether the hub is in this process."""
        ...

    @property
    def lost(self) -> bool:
        """Whether there is no hub any more: nobody takes what is entered."""
        ...

    def check(self) -> None:
        """See `Ledger.check`."""
        ...

    def notice(self, notice: Notice) -> None:
        """See `Ledger.notice`."""
        ...

    def enter(
        self, draft: Draft | None, account: Account | None, slot: int, settled: Callable[[bool], None]
    ) -> None:
        """Hand in what to record and what to count; `settled(durable)` is called when its fate is known."""
        ...


class HostLedger:
    """See `Ledger`; over one of the ways to the hub."""

    def __init__(
        self,
        way: Way,
        scribe: Scribe,
        slots: SlotTable,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        *,
        strict: bool,
    ) -> None:
        self._way = way
        self._scribe = scribe
        self._slots = slots
        self._loop = loop
        self._clock = clock
        self._strict = strict
        self.check = way.check
        self._closed: list[tuple[Exchange, Settle]] = []

    def begin(self, exchange: Exchange) -> None:
        """See `Ledger.begin`."""
        exchange.slot = self._slots.take(exchange)

    def notice(self, notice: Notice) -> None:
        """See `Ledger.notice`."""
        self._way.notice(notice)

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        if exchange.end_user is not None and self._scribe.awaits(exchange.end_user):
            await prepared(self._scribe, exchange)
        exchange.close(status, outcome, self._clock.monotonic())
        slot = exchange.slot
        if slot >= 0:
            if exchange.audited:
                self._slots.retire(slot)
            else:
                self._slots.dismiss(slot)
        if self._strict and exchange.audited:
            await self._fate(slot, partial(self._soon, exchange))
        else:
            self._soon(exchange, partial(self._clear, slot))

    def _soon(self, exchange: Exchange, settled: Settle) -> None:
        """Enter it: where the hub is here, with all that are closed in this turn of the loop.

        What is done for many in a row costs less, since its code and data stay in the processor's cache;
        whoever reads the books comes in a later turn. Over a link it goes at once, before the answer does.
        """
        if not self._way.is_here:
            self._enter([(exchange, settled)])
            return
        if not self._closed:
            self._loop.call_soon(self._enter_all)
        self._closed.append((exchange, settled))

    def _enter_all(self) -> None:
        closed, self._closed = self._closed, []
        self._enter(closed)

    def _enter(self, closed: Sequence[tuple[Exchange, Settle]]) -> None:
        """Enter these; a defect of ours costs a request its own answer, never another one its record.

        The slot of what could not be entered stays: whoever reads this process's table once it has ended
        records and counts it as an orphan.
        """
        from_exchange, enter = self._scribe.from_exchange, self._way.enter
        for exchange, settled in closed:
            try:
                draft = from_exchange(exchange) if exchange.audited else None
                enter(draft, exchange.account(), exchange.slot, settled)
            except Exception:  # noqa: BLE001 - whatever it is, this client and the others wait for their fates
                _log.exception("a request could not be recorded", request_id=exchange.request_id)
                settled(None)

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange | None = None,
        level: str = "INFO",
    ) -> None:
        """See `Ledger.record`."""
        draft = event_draft(self._scribe, action, resource, details, exchange=exchange, level=level)
        if self._strict:
            await self._fate(-1, partial(self._way.enter, draft, None, -1))
        else:
            self._way.enter(draft, None, -1, lambda _: None)

    async def _fate(self, slot: int, hand_in: Callable[[Settle], None]) -> None:
        """Hand it in and wait for its fate. Raises `NoRecord` if it is lost or could not be made."""
        fate: asyncio.Future[bool | None] = self._loop.create_future()

        def settled(durable: bool | None) -> None:
            self._clear(slot, durable)
            if not fate.done():
                fate.set_result(durable)

        hand_in(settled)
        durable = await fate
        if not durable:
            raise record_failed() if durable is None else no_record(self._way.reason)

    def _clear(self, slot: int, durable: bool | None) -> None:
        """Its fate is known, whatever it is."""
        # What nobody has taken, for want of a hub or by a defect, keeps its slot, so that it is found later.
        if slot >= 0 and durable is not None and not self._way.lost:
            self._slots.clear(slot)


def record_failed() -> RecordFailed:
    """The refusal that a client sees when a defect of ours kept its record from being made."""
    return RecordFailed(
        "The gateway failed to make this request's audit record, so its answer is withheld; its log has the "
        "details under this answer's request id. Report it, then retry."
    )


def no_record(reason: str) -> NoRecord:
    """The refusal that a client sees when its record is not durable."""
    return NoRecord(f"The audit log could not take this request's record: {reason}", retry_after_s=1.0)


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

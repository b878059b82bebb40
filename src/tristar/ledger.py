"""Where closed exchanges go: the one door to the audit log and the metric books."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from tristar.exchange import Exchange, Outcome


class Notice(msgspec.Struct, array_like=True, tag=20, frozen=True):
    """Who was let in or turned away, and why; told once each time, however often it happens.

    Repeats are counted in one record (`host.folds`), so that nobody can flood the log from outside.
    `reason` is a word of a closed list.
    """

    action: str
    resource: str
    level: str
    reason: str
    user_id: str | None
    ip_address: str | None
    session_id: str | None
    trace_id: str


class Ledger(Protocol):
    """Enters each request once, in the audit log and in the books alike. Event-loop thread only."""

    def check(self) -> None:
        """Raise `NoRecord` if no durable record is possible now; asked before anything is sent upstream."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """Note that the request is in progress, so that it is recorded even if this process dies.

        Raises:
            Unavailable: as many requests are in progress as this process can keep track of.
        """
        ...

    def notice(self, notice: Notice) -> None:
        """Record who was let in or turned away; never waits, and goes before the request's own record."""
        ...

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """Close the exchange and enter it; in strict mode it is durable once this returns.

        Raises:
            NoRecord: it is not durable in time; the client must not get its answer. The request
                is counted with status 503.
        """
        ...

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange | None = None,
        level: str = "INFO",
    ) -> None:
        """Record something beside the request itself; durability and errors as `close`."""
        ...


class Watcher(Protocol):
    """Sees every exchange at both ends. Neither method blocks or raises."""

    def begun(self, exchange: Exchange) -> None:
        """It is about to begin; nothing was sent upstream."""
        ...

    def closed(self, exchange: Exchange) -> None:
        """It was closed, whether its record is durable or not; one that was refused had not begun."""
        ...


class WatchedLedger:
    """See `Ledger`. Built only where somebody watches."""

    def __init__(self, ledger: Ledger, watcher: Watcher) -> None:
        self._ledger = ledger
        self._watcher = watcher

    def check(self) -> None:
        """See `Ledger.check`."""
        self._ledger.check()

    def begin(self, exchange: Exchange) -> None:
        """See `Ledger.begin`."""
        self._watcher.begun(exchange)
        self._ledger.begin(exchange)

    def notice(self, notice: Notice) -> None:
        """See `Ledger.notice`."""
        self._ledger.notice(notice)

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        was_closed = exchange.closed
        try:
            await self._ledger.close(exchange, status, outcome)
        finally:
            if exchange.closed and not was_closed:
                self._watcher.closed(exchange)

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange | None = None,
        level: str = "INFO",
    ) -> None:
        """See `Ledger.record`."""
        await self._ledger.record(action, resource, details, exchange, level)

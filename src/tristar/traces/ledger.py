"""The ledger with a window: what leaves through it is also seen by the tracing system."""

from collections.abc import Mapping
from typing import Protocol

from tristar.exchange import Exchange, Outcome
from tristar.ledger import Ledger, Notice
from tristar.traces.spans import Story, story_of


class Tracer(Protocol):
    """Where stories go. Neither method blocks or raises."""

    def samples(self, exchange: Exchange) -> bool:
        """Whether this request is traced; decided once, when it begins."""
        ...

    def tell(self, story: Story) -> None:
        """Take the story of a traced request; may be dropped where too many wait."""
        ...


class TracedLedger:
    """See `Ledger`. Built only where tracing is on; audited routes alone are traced, no scrape, no probe."""

    def __init__(self, ledger: Ledger, tracer: Tracer) -> None:
        self._ledger = ledger
        self._tracer = tracer

    def check(self) -> None:
        """See `Ledger.check`."""
        self._ledger.check()

    def begin(self, exchange: Exchange) -> None:
        """See `Ledger.begin`; whether it is sampled is known before anything is sent upstream."""
        self._decide(exchange)
        self._ledger.begin(exchange)

    def notice(self, notice: Notice) -> None:
        """See `Ledger.notice`."""
        self._ledger.notice(notice)

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        if exchange.traced is None:
            self._decide(exchange)  # refused before it had begun
        try:
            await self._ledger.close(exchange, status, outcome)
        finally:
            if exchange.traced and exchange.closed:
                self._tracer.tell(story_of(exchange))

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

    def _decide(self, exchange: Exchange) -> None:
        exchange.traced = exchange.audited and self._tracer.samples(exchange)
        if exchange.audited:
            flags = int(exchange.trace_flags, 16)
            exchange.trace_flags = f"{flags | 1 if exchange.traced else flags & ~1:02x}"

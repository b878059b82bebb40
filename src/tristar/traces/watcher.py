"""Which requests are traced, and when their story is told."""

from typing import Protocol

from tristar.exchange import Exchange
from tristar.traces.spans import Story, story_of


class Tracer(Protocol):
    """Where stories go. Neither method blocks or raises."""

    def samples(self, exchange: Exchange) -> bool:
        """Whether this request is traced; decided once, when it begins."""
        ...

    def tell(self, story: Story) -> None:
        """Take the story of a traced request; may be dropped where too many wait."""
        ...


class TraceWatcher:
    """See `ledger.Watcher`. Audited routes alone are traced, no scrape and no probe."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begun(self, exchange: Exchange) -> None:
        """See `Watcher.begun`: whether it is sampled is known before anything is sent upstream."""
        exchange.traced = exchange.audited and self._tracer.samples(exchange)
        if exchange.audited:
            flags = int(exchange.trace_flags, 16)
            exchange.trace_flags = f"{flags | 1 if exchange.traced else flags & ~1:02x}"

    def closed(self, exchange: Exchange) -> None:
        """See `Watcher.closed`."""
        if exchange.traced is None:
            self.begun(exchange)
        if exchange.traced:
            self._tracer.tell(story_of(exchange))

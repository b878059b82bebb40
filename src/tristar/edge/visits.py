"""The access log: one line for each request that ended, on the operator's log; off unless it is asked for."""

from collections.abc import Mapping

import structlog

from tristar.exchange import Exchange, Outcome
from tristar.ledger import Ledger

_PATH_CHARS = 500

_log = structlog.get_logger("tristar.access")


class VisitLedger:
    """See `Ledger`. Built only where the access log is on; scrapes at `metrics_path` are left out."""

    def __init__(self, ledger: Ledger, metrics_path: str) -> None:
        self._ledger = ledger
        self._metrics_path = metrics_path

    def check(self) -> None:
        """See `Ledger.check`."""
        self._ledger.check()

    def begin(self, exchange: Exchange) -> None:
        """See `Ledger.begin`."""
        self._ledger.begin(exchange)

    async def close(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """See `Ledger.close`."""
        try:
            await self._ledger.close(exchange, status, outcome)
        finally:
            if exchange.closed and exchange.resource != self._metrics_path:
                _log.info("request", **_told(exchange))

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


def _told(exchange: Exchange) -> dict[str, object]:
    """Without a query string, which may hold anything, and without what was asked or answered."""
    told: dict[str, object] = {
        "method": exchange.method,
        "path": exchange.resource[:_PATH_CHARS],
        "status": exchange.status,
        "outcome": exchange.outcome,
        "duration_ms": round(1000 * exchange.duration_s, 3),
        "client": exchange.ip_address,
        "key": exchange.actor,
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
    }
    if exchange.attempts:
        told |= {"llm": exchange.llm_id, "attempts": len(exchange.attempts)}
    return told

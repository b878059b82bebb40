"""The access log: one line for each request that ended, on the operator's log; off unless it is asked for."""

import structlog

from tristar.exchange import Exchange

_PATH_CHARS = 500

_log = structlog.get_logger("tristar.access")


class Visits:
    """See `ledger.Watcher`. Scrapes at `metrics_path` are left out."""

    def __init__(self, metrics_path: str) -> None:
        self._metrics_path = metrics_path

    def begun(self, exchange: Exchange) -> None:
        """See `Watcher.begun`; a visit is told when it is over."""

    def closed(self, exchange: Exchange) -> None:
        """See `Watcher.closed`."""
        if exchange.resource != self._metrics_path:
            _log.info("request", **_told(exchange))


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

"""Who is let in and who is turned away, told to the audit log beside the request's own record."""

from tristar.auth.gate import KeyRefused
from tristar.clock import Clock
from tristar.errors import Forbidden, GatewayError, LimitExceeded, LoginsThrottled
from tristar.exchange import Exchange
from tristar.ledger import Ledger, Notice

RETOLD_S = 60.0
"""A key in steady use from one address is told to the hub this often; the hub records it once an hour."""

MOST_KNOWN = 10_000


class Doorman:
    """One per process. What it tells is folded by the hub, for all processes of the host together."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._told: dict[tuple[str | None, str | None], float] = {}

    def admitted(self, exchange: Exchange) -> None:
        """The key of this request was found good."""
        caller = exchange.actor, exchange.ip_address
        now = self._clock.monotonic()
        told = self._told.get(caller)
        if told is not None and now - told < RETOLD_S:
            return
        if len(self._told) >= MOST_KNOWN:
            self._told.clear()
        self._told[caller] = now
        self._ledger.notice(_notice(exchange, "auth_success", "INFO", "api_key"))

    def refused(self, exchange: Exchange, error: GatewayError) -> None:
        """The request is answered with this error; what it says of the caller is told, if anything."""
        match error:
            case KeyRefused():
                notice = _notice(exchange, "auth_failure", "SECURITY", error.reason)
            case LoginsThrottled():
                notice = _notice(exchange, "auth_failure", "SECURITY", "throttled")
            case Forbidden():
                notice = _notice(exchange, "access_denied", "SECURITY", error.code)
            case LimitExceeded():
                limit = str((exchange.details or {}).get("limit", "requests"))
                notice = _notice(exchange, over(limit), "WARNING", limit)
            case _:
                return
        self._ledger.notice(notice)


def over(limit: str) -> str:
    """The action that records that this limit, by the name that the limiter gives it, was reached."""
    return "budget_exceeded" if limit.startswith("budget") else "rate_limited"


def _notice(exchange: Exchange, action: str, level: str, reason: str) -> Notice:
    return Notice(
        action,
        exchange.resource,
        level,
        reason,
        exchange.actor,
        exchange.ip_address,
        exchange.session_id,
        exchange.trace_id,
    )

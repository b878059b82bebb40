"""What an upstream's refusal means, and what to do about each kind of failure."""

import email.utils
import enum
import time

from tristar.errors import UpstreamBroken, UpstreamFailed, UpstreamRefused, UpstreamTimedOut, UpstreamUnwell
from tristar.exchange import AttemptStatus
from tristar.providers.dialect import Dialect, ProviderError
from tristar.relay.transport import Headers

REASON_LIMIT = 500


class Verdict(enum.Enum):
    """What follows a failed attempt."""

    RETRY = "the same llm after a wait, then the next"
    FALL_BACK = "the next llm at once"
    FINAL = "the client is told"


_VERDICTS = {
    "connect": Verdict.RETRY,
    "stale_connection": Verdict.RETRY,
    "server_error": Verdict.RETRY,
    "rate_limited": Verdict.RETRY,
    "broken": Verdict.RETRY,
    "diverged": Verdict.FALL_BACK,
    "redirect": Verdict.FALL_BACK,
    "timeout": Verdict.FALL_BACK,
    "first_token_timeout": Verdict.FALL_BACK,
    "idle_timeout": Verdict.FALL_BACK,
    "quota": Verdict.FALL_BACK,
    "auth": Verdict.FALL_BACK,
    "context_length": Verdict.FALL_BACK,
    "bad_request": Verdict.FINAL,
    "content_filter": Verdict.FINAL,
}
ERROR_TYPES = frozenset({*_VERDICTS, "client_gone", "hedge_lost"})
"""The closed list of `error_type`, in metrics and records."""

SAYS_NOTHING = frozenset({"bad_request", "content_filter", "context_length", "stale_connection", "diverged"})
"""Failures that are the request's own, or the connection's: another request may well be answered."""

STATUSES: dict[str, AttemptStatus] = {
    "timeout": "timeout",
    "first_token_timeout": "timeout",
    "idle_timeout": "timeout",
    "rate_limited": "rate_limited",
    "quota": "rate_limited",
}
"""How an attempt is said to have ended; any other failure is an `error`."""


def verdict(failure: UpstreamFailed) -> Verdict:
    """What to do after this failure, while no output has reached the client."""
    return _VERDICTS[failure.error_type]


def timed_out(kind: str, seconds: float) -> UpstreamTimedOut:
    """A timeout of one of the kinds `timeout`, `first_token_timeout`, `idle_timeout`."""
    silent = {
        "timeout": "did not finish",
        "first_token_timeout": "sent no token",
        "idle_timeout": "fell silent",
    }[kind]
    failure = UpstreamTimedOut(f"The upstream {silent} within {seconds:g} s.")
    failure.error_type = kind
    return failure


def diverged() -> UpstreamBroken:
    """A restarted answer that does not begin as the one that the client has half of."""
    failure = UpstreamBroken("The fallback's answer begins otherwise than what was already sent.")
    failure.error_type, failure.counts = "diverged", False
    return failure


def refusal(dialect: Dialect, status: int, headers: Headers, body: bytes) -> UpstreamFailed:
    """The failure that an upstream's answer outside 2xx stands for."""
    error = dialect.read_error(body)
    failure = _read(dialect, error, status, body)
    failure.upstream_status = status
    told_s = retry_after_s(headers, time.time())
    failure.retry_after_s = error.retry_after_s if told_s is None else told_s
    return failure


def in_band(dialect: Dialect, body: bytes) -> UpstreamFailed:
    """The failure that an error event inside a 200 stream stands for."""
    error = dialect.read_error(body)
    return _read(dialect, error, error.status or 500, body)


def _read(dialect: Dialect, error: ProviderError, status: int, body: bytes) -> UpstreamFailed:
    failure = _classify(status, error)
    if error.enveloped and failure.error_type not in {"auth", "redirect"}:
        failure.body, failure.body_format = body, dialect.name
    return failure


def _classify(status: int, error: ProviderError) -> UpstreamFailed:
    reason = error.message[:REASON_LIMIT] or f"HTTP {status}"
    if error.kind == "content_filter":
        code = error.code or "content_filter"
        return _made(UpstreamRefused, reason, status=status, error_type="content_filter", code=code)
    if status in {402, 429} or error.kind == "quota":
        # 402: the operator's balance there is spent (DeepSeek, OpenRouter)
        kind = "quota" if status == 402 or error.kind == "quota" else "rate_limited"
        return _made(UpstreamUnwell, reason, status=429, error_type=kind, code="upstream_rate_limited")
    if status in {401, 403} or error.kind == "auth":
        told = "The provider refused the gateway's own key; the operator has to replace it."
        return _made(UpstreamUnwell, told, status=502, error_type="auth", code="upstream_auth", counts=False)
    if status == 408:
        return _made(UpstreamTimedOut, reason, status=504, error_type="timeout")
    if 500 <= status <= 599:
        return _made(UpstreamUnwell, reason, status=status, error_type="server_error")
    if 300 <= status <= 399:
        # Followed, it would carry the operator's key to a place that nobody configured.
        told = (
            f"The upstream redirects (HTTP {status}), which is not followed: the operator has to correct it."
        )
        return _made(UpstreamUnwell, told, status=502, error_type="redirect", code="upstream_redirect")
    if not 400 <= status <= 599:
        return UpstreamBroken(f"The upstream answered with status {status}, which no API client can use.")
    if error.kind == "context_length":
        code = "context_length_exceeded"
        return _made(UpstreamRefused, reason, status=status, error_type="context_length", code=code)
    return _made(UpstreamRefused, reason, status=status, error_type="bad_request")


def _made(
    kind: type[UpstreamFailed],
    message: str,
    *,
    status: int,
    error_type: str,
    code: str | None = None,
    counts: bool | None = None,
) -> UpstreamFailed:
    failure = kind(message)
    failure.status = status
    failure.error_type = error_type
    if code is not None:
        failure.code = code
    if counts is not None:
        failure.counts = counts
    if status == 429:
        failure.type = "rate_limit_error"
    return failure


def retry_after_s(headers: Headers, now: float) -> float | None:
    """The Retry-After of an answer in seconds, from either of its forms (RFC 9110, 10.2.3)."""
    for name, value in headers:
        if name != b"retry-after":
            continue
        text = value.decode("latin-1").strip()
        try:
            return min(max(0.0, float(text)), 86_400.0)
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
        except (ValueError, OverflowError):
            return None
    return None

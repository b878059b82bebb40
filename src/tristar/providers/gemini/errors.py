"""Google's error body, `google.rpc.Status`, read."""

import re

import msgspec

from tristar.providers.dialect import ErrorKind, ProviderError
from tristar.providers.fields import UNREADABLE

FORMAT = "gemini"

_CONTEXT = re.compile(r"exceeds the maximum number of tokens|token count .* exceeds", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")


class _Violation(msgspec.Struct, rename="camel"):
    quota_id: str = ""


class _Detail(msgspec.Struct, rename="camel"):
    """One of a few messages, told apart by what they hold."""

    retry_delay: str | None = None
    reason: str | None = None
    violations: list[_Violation] = []


class _Error(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[_Detail] | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])


def read_error(body: bytes) -> ProviderError:
    """See `Dialect.read_error`. A stream that never began answers with a list of one."""
    try:
        told = _decoder.decode(body)
    except UNREADABLE:
        return ProviderError()
    error = (told[0].error if told else None) if isinstance(told, list) else told.error
    if error is None:
        return ProviderError()
    return ProviderError(
        error.message or "",
        error.status or "",
        enveloped=True,
        kind=_kind_of(error),
        status=error.code,
        retry_after_s=_wait_of(error.details or []),
    )


def _kind_of(error: _Error) -> ErrorKind | None:
    details = error.details or []
    if any(detail.reason in {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED"} for detail in details):
        return "auth"  # with status 400
    if any("PerDay" in each.quota_id for detail in details for each in detail.violations):
        return "quota"
    return "context_length" if _CONTEXT.search(error.message or "") else None


def _wait_of(details: list[_Detail]) -> float | None:
    """What `google.rpc.RetryInfo` says, in seconds: this API sends no Retry-After."""
    for detail in details:
        told = _DURATION.fullmatch(detail.retry_delay or "")
        if told is not None:
            return float(told[1])
    return None

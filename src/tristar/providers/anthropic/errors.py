"""Anthropic's error envelope, read and written."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tristar.errors import GatewayError, UpstreamFailed
from tristar.providers.dialect import ErrorKind, ProviderError
from tristar.providers.fields import UNREADABLE, encode

FORMAT = "anthropic"

TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type of each status; others are `invalid_request_error` below 500 and `api_error` above."""

STATUSES: Final[Mapping[str, int]] = {kind: status for status, kind in TYPES.items()}

_KINDS: Final[tuple[tuple[str, ErrorKind], ...]] = (
    ("prompt is too long", "context_length"),
    ("exceed context limit", "context_length"),
    ("content filtering policy", "content_filter"),
    ("credit balance is too low", "quota"),
)


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_ErrorBody)


def read_error(body: bytes) -> ProviderError:
    """See `Dialect.read_error`."""
    try:
        error = _decoder.decode(body).error
    except UNREADABLE:
        return ProviderError()
    if error is None:
        return ProviderError()
    message, kind = error.message or "", error.type or ""
    lowered = message.lower()
    known = next((known for words, known in _KINDS if words in lowered), None)
    if kind == "billing_error":
        known = "quota"
    return ProviderError(message, kind, enveloped=True, kind=known, status=STATUSES.get(kind))


class AnthropicErrors:
    """See `Surface`."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """See `Surface.error_body`."""
        if isinstance(error, UpstreamFailed) and error.body is not None and error.body_format == FORMAT:
            return error.body
        told = {"type": type_of(error.status), "message": _message(error)}
        return encode({"type": "error", "error": told, "request_id": request_id})

    def error_event(self, error: GatewayError, request_id: str, position: int = 0) -> bytes:
        """See `Surface.error_event`."""
        del position
        return b"event: error\ndata: " + self.error_body(error, request_id) + b"\n\n"


def type_of(status: int) -> str:
    """The error type that goes with a status."""
    return TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def _message(error: GatewayError) -> str:
    # Clients of this API know by these words that the conversation has to be shortened.
    if error.code == "context_length_exceeded" and "prompt is too long" not in error.message:
        return f"prompt is too long: {error.message}"
    return error.message


ANTHROPIC_ERRORS = AnthropicErrors()

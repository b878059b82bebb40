"""OpenAI's error envelope, read and written."""

import msgspec

from tristar.errors import GatewayError, UpstreamFailed
from tristar.providers.dialect import ErrorKind, ProviderError
from tristar.providers.fields import UNREADABLE, encode

FORMAT = "openai"

_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_window_exceeded", "string_above_max_length"})
_CONTEXT_WORDS = ("maximum context length", "context length", "context window", "prompt is too long")
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None


_decoder = msgspec.json.Decoder(_ErrorBody)


def read_error(body: bytes) -> ProviderError:
    """See `Dialect.read_error`."""
    try:
        parsed = _decoder.decode(body).error
    except UNREADABLE:
        return ProviderError()
    if parsed is None:
        return ProviderError()
    if isinstance(parsed, str):
        return _classified(ProviderError(parsed))
    code = str(parsed.code or "")
    status = int(code) if code.isdigit() else None
    return _classified(
        ProviderError(parsed.message or "", parsed.type or "", code, enveloped=True, status=status)
    )


def _classified(error: ProviderError) -> ProviderError:
    """With its kind: what the status alone does not say."""
    lowered = error.message.lower()
    kind: ErrorKind | None = None
    if error.code in _FILTER_CODES:
        kind = "content_filter"
    elif "insufficient_quota" in {error.code, error.type}:
        kind = "quota"
    elif error.code in _CONTEXT_CODES or any(words in lowered for words in _CONTEXT_WORDS):
        kind = "context_length"
    if kind is None:
        return error
    return ProviderError(
        error.message, error.type, error.code, enveloped=error.enveloped, kind=kind, status=error.status
    )


class OpenAIErrors:
    """See `Surface`: the envelope of every surface of OpenAI's."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """See `Surface.error_body`."""
        del request_id
        if isinstance(error, UpstreamFailed) and error.body is not None and error.body_format == FORMAT:
            return error.body
        return _envelope(error)

    def error_event(self, error: GatewayError, request_id: str, position: int = 0) -> bytes:
        """See `Surface.error_event`."""
        del request_id, position
        return b"data: " + _envelope(error) + b"\n\n"


def _envelope(error: GatewayError) -> bytes:
    told = {"message": error.message, "type": error.type, "code": error.code, "param": error.param}
    return encode({"error": told})


OPENAI_ERRORS = OpenAIErrors()

"""How a response fails: before it begins in OpenAI's envelope, amid a stream as an event of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from tristar.errors import GatewayError
from tristar.providers.dialect import ProviderError
from tristar.providers.fields import UNREADABLE, encode
from tristar.providers.openai import errors as openai

FORMAT = "responses"

_STATUSES: Final[Mapping[str, int]] = {
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "vector_store_timeout": 504,
}
"""What the code of a failed response stands for; others say that the request is at fault."""


class _Event(msgspec.Struct):
    """The event `error`, whose fields are its own."""

    message: str | None = None
    code: str | None = None


_decoder = msgspec.json.Decoder(_Event)


def read_error(body: bytes) -> ProviderError:
    """See `Dialect.read_error`: the envelope, or the event `error`."""
    error = openai.read_error(body)
    if not error.enveloped:
        try:
            told = _decoder.decode(body)
        except UNREADABLE:
            return error
        if told.message is None and told.code is None:
            return error
        error = openai.read_error(encode({"error": {"message": told.message, "code": told.code}}))
    if error.code and error.status is None:
        return replace(error, status=_STATUSES.get(error.code, 400))
    return error


class ResponsesErrors:
    """See `Surface`."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """See `Surface.error_body`: OpenAI's envelope."""
        return openai.OPENAI_ERRORS.error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str, position: int = 0) -> bytes:
        """See `Surface.error_event`."""
        del request_id
        told = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "sequence_number": position,
        }
        return b"event: error\ndata: " + encode(told) + b"\n\n"


RESPONSES_ERRORS = ResponsesErrors()

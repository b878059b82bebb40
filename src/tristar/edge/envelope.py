"""Errors as the client's SDK expects them: OpenAI's envelope."""

import math

from tristar.errors import GatewayError, LimitExceeded, MethodNotAllowed
from tristar.providers.openai.errors import OPENAI_ERRORS

Headers = list[tuple[bytes, bytes]]

PATIENCE_S = 60.0
"""A budget that renews tomorrow is nothing to wait for within a call."""


def body_of(error: GatewayError) -> bytes:
    """The error's body; a provider's own body goes through as it came, if it is an envelope."""
    return OPENAI_ERRORS.error_body(error, "")


def headers_of(error: GatewayError) -> Headers:
    """Content type, Retry-After where waiting helps, and how far the limits are used."""
    headers = [(b"content-type", b"application/json")]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_s))).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, LimitExceeded):
        headers += error.headers
        if error.retry_after_s is None or error.retry_after_s > PATIENCE_S:
            headers.append((b"x-should-retry", b"false"))  # OpenAI's SDKs ask this before they retry
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers

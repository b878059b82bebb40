"""HTTP towards receivers: one client, and one reading of what an answer means."""

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import monotonic, time
from typing import Final, TypeVar

import httpx
import msgspec

from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import SinkDown, SinkRefused
from tristar.audit.sinks.tls import client_context

ANSWER_BYTES: Final = 4 << 20
"""The most that is read of an answer."""
_SHOWN_CHARS: Final = 160
_REFUSED: Final = {400, 413, 415, 422}

T = TypeVar("T")


class Web:
    """Posts to one receiver over connections that it keeps; used by one thread."""

    def __init__(self, options: SinkOptions, headers: Mapping[str, str] | None = None) -> None:
        self._answer_s = options.timeout_s
        secure = not options.url.startswith("http://")
        self._client = httpx.Client(
            verify=secure and client_context(options.ca_file, options.cert_file, options.key_file),
            timeout=options.timeout_s,
            headers={"user-agent": "tristar-audit", **(headers or {})},
            auth=(options.user, options.secret) if options.user and options.secret else None,
            follow_redirects=False,
            trust_env=False,
        )

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one body; returns the answer's body if the status is 2xx.

        Raises:
            SinkRefused: the receiver cannot take what was sent, whenever it is sent.
            SinkDown: everything else.
        """
        try:
            with self._client.stream("POST", url, content=content, headers=headers) as answer:
                body = _bounded(answer, monotonic() + self._answer_s)
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise SinkDown(f"{_place(url)}: {_said(error)}") from error
        if answer.is_success:
            return body
        reason = f"{_place(url)}: {answer.status_code} {_shown(body)}".rstrip()
        if answer.status_code in _REFUSED:
            raise SinkRefused(reason)
        raise SinkDown(reason, retry_after_s=retry_after_s(answer.headers.get("retry-after"), time()))

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()


def decoded(body: bytes, kind: type[T]) -> T:
    """The answer as JSON of this shape. Raises SinkDown: it is none, so nothing was acknowledged."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise SinkDown(f"its answer is not what this kind of receiver says: {_shown(body)}") from error


def retry_after_s(header: str | None, now_s: float) -> float:
    """The seconds that a `Retry-After` asks for; 0 where there is none that can be read."""
    if header is None:
        return 0.0
    if header.strip().isdigit():
        return float(header.strip()[:6])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except ValueError:
        return 0.0


def _bounded(answer: httpx.Response, until_s: float) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if monotonic() > until_s:
            raise httpx.ReadTimeout("its answer takes too long")
        if len(body) > ANSWER_BYTES:
            raise httpx.DecodingError("its answer is too long")
    return bytes(body)


def _place(url: str) -> str:
    """The address without what may be secret in it."""
    parts = httpx.URL(url)
    return f"{parts.host}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"


def _shown(body: bytes) -> str:
    text = body[:_SHOWN_CHARS].decode(errors="replace")
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _said(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message}"
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__

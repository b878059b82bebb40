"""What the edge reads of a request before anything else: headers, identity of the trace, body."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tristar.clock import Clock
from tristar.errors import BadRequest, BodyTooLarge
from tristar.exchange import END_USER_LIMIT, Exchange, Ids, in_progress
from tristar.providers.anthropic import dialect as anthropic
from tristar.providers.openai import dialect as openai
from tristar.relay.departure import ClientGone

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Any], Awaitable[None]]

AUDITED = ("/v1", "/mcp", "/admin")
AUDITED_UNDER = tuple(prefix + "/" for prefix in AUDITED)
UNMATCHED = "_unmatched"
SESSION_LIMIT = 128

# Headers that mean something to an upstream of some dialect; everything else stays here.
PASSED_ON = openai.HEADERS | anthropic.HEADERS

FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})

# W3C Trace Context, section 3.2: version 00 exactly, later versions at least so far.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Incoming(msgspec.Struct):
    """The headers that the gateway acts upon."""

    key: str | None = None
    traceparent: bytes | None = None
    content_length: int | None = None
    timeout_s: float | None = None
    session_id: str | None = None
    end_user: str | None = None
    accept: str | None = None
    passed_on: list[tuple[bytes, bytes]] | None = None
    forwarded: list[tuple[bytes, bytes]] | None = None
    """What proxies say of the client, if they are to be believed."""
    origin: bytes | None = None
    peer: str | None = None
    """Who is at the other end of the connection."""

    def __repr__(self) -> str:
        """Without the key: whatever prints a request must not print it."""
        return f"Incoming(key={None if self.key is None else '…'})"

    @classmethod
    def of(cls, headers: Sequence[tuple[bytes, bytes]]) -> "Incoming":
        """Read the headers; names are lower case."""
        incoming = cls()
        fields: dict[bytes, bytes] = dict(headers)
        if len(fields) == len(headers):  # each once: most of them are nobody's, and passed over in C
            for name in filter(_is_read, fields):
                _READERS[name](incoming, name, fields[name])
            return incoming
        for name, value in headers:
            if name in _READERS:
                _READERS[name](incoming, name, value)
        return incoming


def _authorization(incoming: Incoming, _: bytes, value: bytes) -> None:
    if value.startswith(b"Bearer "):  # as nearly everybody writes it
        incoming.key = value[7:].decode("latin-1").strip()
        return
    said = value.decode("latin-1").partition(" ")
    if said[0].lower() == "bearer":
        incoming.key = said[2].strip()


def _api_key(incoming: Incoming, _: bytes, value: bytes) -> None:
    if incoming.key is None:
        incoming.key = value.decode("latin-1").strip()


def _traceparent(incoming: Incoming, _: bytes, value: bytes) -> None:
    incoming.traceparent = value


def _content_length(incoming: Incoming, _: bytes, value: bytes) -> None:
    if value.isdigit():
        incoming.content_length = int(value[:20])


def _timeout(incoming: Incoming, _: bytes, value: bytes) -> None:
    try:
        seconds = float(value)
    except ValueError:
        return
    if math.isfinite(seconds) and seconds > 0:
        incoming.timeout_s = seconds


def _session(incoming: Incoming, _: bytes, value: bytes) -> None:
    incoming.session_id = value.decode("latin-1")[:SESSION_LIMIT]


def _end_user(incoming: Incoming, _: bytes, value: bytes) -> None:
    incoming.end_user = value.decode("latin-1")[:END_USER_LIMIT] or None


def _origin(incoming: Incoming, _: bytes, value: bytes) -> None:
    incoming.origin = value


def _accept(incoming: Incoming, _: bytes, value: bytes) -> None:
    incoming.accept = value.decode("latin-1")


def _passed_on(incoming: Incoming, name: bytes, value: bytes) -> None:
    incoming.passed_on = [*(incoming.passed_on or ()), (name, value)]


def _forwarded(incoming: Incoming, name: bytes, value: bytes) -> None:
    incoming.forwarded = [*(incoming.forwarded or ()), (name, value)]


_READERS: Mapping[bytes, Callable[[Incoming, bytes, bytes], None]] = {
    **dict.fromkeys(PASSED_ON, _passed_on),
    **dict.fromkeys(FORWARDED, _forwarded),
    b"authorization": _authorization,
    b"x-api-key": _api_key,
    b"traceparent": _traceparent,
    b"content-length": _content_length,
    b"x-request-timeout": _timeout,
    b"x-session-id": _session,
    b"x-user-id": _end_user,
    b"accept": _accept,
    b"origin": _origin,
}
_is_read: Callable[[bytes], bool] = _READERS.__contains__


class Arrived(Protocol):
    """What an exchange takes from its request; see `edge.visit.Visit`."""

    method: str
    path: str

    @property
    def client(self) -> str | None:
        """The peer's address."""
        ...


def begin_exchange(arrived: Arrived, incoming: Incoming, endpoint: str, clock: Clock, ids: Ids) -> Exchange:
    """The exchange of a request that has just arrived; a valid `traceparent` is continued."""
    path = arrived.path
    trace_id, parent_span_id, flags = "", None, "01"
    if incoming.traceparent is not None:
        trace_id, parent_span_id, flags = _read_trace(incoming.traceparent)
    exchange = Exchange(
        method=arrived.method,
        resource=path,
        endpoint=endpoint,
        started=clock.monotonic(),
        started_at=clock.time(),
        audited=is_audited(path),
        ip_address=arrived.client,
        trace_id=trace_id,
        trace_flags=flags,
        parent_span_id=parent_span_id,
        ids=ids.draw(),
        session_id=incoming.session_id,
        end_user=incoming.end_user,
    )
    in_progress.set(exchange)
    return exchange


def is_audited(path: str) -> bool:
    """Whether a path belongs to the routes of which each request has its record."""
    return path.startswith(AUDITED_UNDER) or path in AUDITED


def _read_trace(value: bytes) -> tuple[str, str | None, str]:
    match = _TRACEPARENT.fullmatch(value.strip())
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5]):
        return "", None, "01"
    if not match[2].strip(b"0") or not match[3].strip(b"0"):
        return "", None, "01"
    return match[2].decode(), match[3].decode(), match[4].decode()


class BodyReader:
    """Reads a request's body within a bound."""

    def __init__(self, receive: Receive, declared_bytes: int | None, limit_bytes: int) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._size = 0
        if declared_bytes is not None and declared_bytes > limit_bytes:
            raise too_large(limit_bytes)

    async def read(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge: it exceeds the bound.
            ClientGone: the client left before its end.
        """
        message = await self.receive()
        if not message.get("more_body"):
            return bytes(message.get("body", b""))
        pieces = [message.get("body", b"")]
        while message.get("more_body"):
            message = await self.receive()
            pieces.append(message.get("body", b""))
        return b"".join(pieces)

    async def receive(self) -> Message:
        """One ASGI message, as the application's own `receive`; errors as `read`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._size += len(message.get("body", b""))
        if self._size > self._limit_bytes:
            raise too_large(self._limit_bytes)
        return message


def too_large(limit_bytes: int) -> BodyTooLarge:
    """The refusal of a body beyond the bound."""
    return BodyTooLarge(f"The request body exceeds {limit_bytes // (1024 * 1024)} MB ([server] max_body_mb).")


def check_path(path: str) -> None:
    """Refuse paths that no route can mean.

    Raises:
        BadRequest: a control character is in it.
    """
    if any(character < " " or character == "\x7f" for character in path):
        raise BadRequest("The path holds control characters.")

"""One request and its answer on a connection of our own server: `Visit` and `Reply` in one object."""

import asyncio
from http import HTTPStatus
from typing import Protocol

import msgspec

from tristar.corridor import Headers
from tristar.edge.bridge import Bridge
from tristar.edge.reply import common_lines
from tristar.edge.request import Receive, Scope, Send, too_large
from tristar.errors import GatewayError
from tristar.exchange import Exchange
from tristar.relay.departure import ClientGone, Departure, Wheel

NO_CONTENT = frozenset({204, 304})
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class Line(Protocol):
    """What a turn asks of its connection."""

    loop: asyncio.AbstractEventLoop
    wheel: Wheel
    peer: tuple[str, int] | None
    here: tuple[str, int] | None
    is_secure: bool
    """Whether the client came over TLS."""
    is_slow: bool
    """Whether the client takes less than was written."""

    @property
    def stays(self) -> bool:
        """Whether the connection serves further requests after this one."""
        ...

    @property
    def date(self) -> bytes:
        """The Date header's line."""
        ...

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket; nothing happens if the client is gone."""
        ...

    async def drained(self) -> None:
        """Wait until the client has caught up, or is gone."""
        ...

    def hungry(self) -> None:
        """The request's body is wanted: read on."""
        ...

    def finish(self, turn: "Turn", *, stays: bool) -> None:
        """The answer is complete; whether the connection stays open."""
        ...


class Turn(msgspec.Struct, eq=False):
    """See `Visit` and `Reply`. Event-loop thread only; the connection feeds it, one task serves it."""

    _line: Line
    departure: Departure
    target: bytes = b""
    method: str = ""
    path: str = ""
    headers: Headers = []
    is_http_1_0: bool = False
    arrived_bytes: int = 0
    received: bool = False
    """Whether the request has arrived to its end."""
    failure: GatewayError | None = None
    """Why the rest of the body will not come."""
    begun: bool = False
    ended: bool = False
    _keep_alive: bool = True
    _expects_continue: bool = False
    _chunked: bool = False
    _exchange: Exchange | None = None
    _pieces: list[bytes] = []
    _waiter: "asyncio.Future[None] | None" = None

    @property
    def client(self) -> str | None:
        """See `Visit.client`."""
        return self._line.peer[0] if self._line.peer else None

    # -- the request, as it arrives ------------------------------------------------

    def open(self, method: str, path: str, *, is_http_1_0: bool, keep_alive: bool, expects: bool) -> None:
        """The head is there."""
        self.method, self.path = method, path
        self.is_http_1_0, self._keep_alive, self._expects_continue = is_http_1_0, keep_alive, expects

    def feed(self, piece: bytes) -> None:
        """A piece of the body."""
        if self.ended:
            return
        self._pieces.append(piece)
        self.arrived_bytes += len(piece)
        if self._waiter is not None:
            self.wake()

    def complete(self) -> None:
        """The body has ended properly."""
        self.received = True
        if self._waiter is not None:
            self.wake()

    def fail(self, failure: GatewayError) -> None:
        """The body will not end properly."""
        self.failure = failure
        self.wake()

    def lose(self) -> None:
        """The client is gone."""
        self.departure.announce()
        self.wake()

    def wake(self) -> None:
        """Whoever waits for the body looks again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def body(self, declared_bytes: int | None, limit_bytes: int) -> bytes:
        """See `Visit.body`."""
        if declared_bytes is not None and declared_bytes > limit_bytes:
            raise too_large(limit_bytes)
        while True:
            if self.arrived_bytes > limit_bytes:
                raise too_large(limit_bytes)
            if self.received:
                return self.take()
            await self.more()

    async def more(self) -> None:
        """Wait until something arrives that has not been looked at; errors as `Visit.body`."""
        if self.departure.gone:
            raise ClientGone
        if self.failure is not None:
            raise self.failure
        if self._expects_continue:
            self._expects_continue = False
            if not self.arrived_bytes and not self.begun:
                self._line.write(CONTINUE)
        self._line.hungry()
        await self._wait()
        if self.departure.gone:
            raise ClientGone
        if self.failure is not None:
            raise self.failure

    async def over(self) -> None:
        """Wait until the answer is complete or the client is gone."""
        while not self.ended and not self.departure.gone:
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = self._line.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """What has arrived of the body since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def asgi(self) -> tuple[Scope, Receive, Send]:
        """See `Visit.asgi`."""
        bridge = Bridge(self)
        return (
            bridge.scope(self._line.peer, self._line.here, secure=self._line.is_secure),
            bridge.receive,
            bridge.send,
        )

    # -- the answer ------------------------------------------------------------------

    def reply(self, exchange: Exchange) -> "Turn":
        """See `Visit.reply`."""
        self._exchange = exchange
        return self

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays open after this answer: the request must have arrived to its end."""
        return self._keep_alive and self.received and self.failure is None and self._line.stays

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Reply.whole`; the Content-Length is ours."""
        self.begun = True
        framing = b"" if status in NO_CONTENT else b"content-length: %d\r\n" % len(body)
        line = self._line
        if line.is_slow:
            await line.drained()
        stays = self.keeps_alive
        head = self._head(status, headers, framing, stays=stays)
        bare = self.method == "HEAD" or status in NO_CONTENT
        line.write(head if bare else head + body)
        self._end_now(stays=stays)

    async def begin(self, status: int, headers: Headers) -> None:
        """See `Reply.begin`; to HTTP/1.0 the answer ends with the connection."""
        self.begun = True
        self._chunked = not self.is_http_1_0
        if self.is_http_1_0:
            self._keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        self._line.write(self._head(status, headers, framing, stays=self.keeps_alive))

    async def send(self, piece: bytes) -> None:
        """See `Reply.send`."""
        if self._line.is_slow:
            await self._line.drained()
        if piece:
            self._write(piece)

    def push(self, piece: bytes) -> bool:
        """See `Reply.push`."""
        if self._line.is_slow:
            return False
        self._write(piece)
        return True

    def _write(self, piece: bytes) -> None:
        if self.method != "HEAD":
            self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    async def end(self, piece: bytes) -> None:
        """See `Reply.end`."""
        if self._line.is_slow:
            await self._line.drained()
        if self.method == "HEAD":
            piece = b""
        elif self._chunked:
            piece = b"%x\r\n%b\r\n%b" % (len(piece), piece, LAST_CHUNK) if piece else LAST_CHUNK
        self._line.write(piece)
        self._end_now(stays=self.keeps_alive)

    def refuse(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer at once, outside any exchange, and close the connection."""
        self._keep_alive = False
        head = self._head(status, headers, b"content-length: %d\r\n" % len(body), stays=False)
        self._line.write(head + body)
        self._end_now(stays=False)

    def _head(self, status: int, headers: Headers, framing: bytes, *, stays: bool) -> bytes:
        """Status line and headers, with the blank line."""
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, self._line.date]
        lines += [b"%b: %b\r\n" % header for header in headers]
        if self._exchange is not None:
            lines.append(common_lines(self._exchange))
        lines.append(framing)
        lines.append(b"\r\n" if stays else b"connection: close\r\n\r\n")
        return b"".join(lines)

    def _end_now(self, *, stays: bool) -> None:
        """The last byte was handed over."""
        self.ended = True
        if self._waiter is not None:
            self.wake()
        self._line.finish(self, stays=stays)

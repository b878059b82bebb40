"""HTTP/1.1 to an upstream: one connection on asyncio and httptools, and the answer that is read from it.

The framing is llhttp's (RFC 9112). What is ours is the conduct around it: what a closed,
reset, half-closed or silent connection means at each moment, and backpressure both ways.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from tristar.errors import UpstreamBroken, UpstreamFailed, UpstreamUnreachable
from tristar.relay.departure import Departure

HIGH_WATER_BYTES = 256 * 1024
HEADER_LIMIT_BYTES = 64 * 1024
DRAIN_LIMIT_S = 1.0
NO_BODY = frozenset((204, 304))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))

Headers = list[tuple[bytes, bytes]]
Take = Callable[[bytes], bool]
"""Takes a piece of a body; whether it wants the next one without a pause."""


class Response(Protocol):
    """An upstream's answer whose headers have arrived; exactly one reader."""

    status: int

    @property
    def headers(self) -> Headers:
        """Names in lower case, and values, as they came."""
        ...

    def arrived(self) -> bytes | None:
        """The whole body, and `release`, if it is there to its proper end; None, and nothing happens, if not.

        For an answer of which nothing was read.
        """
        ...

    async def read(self, departure: Departure, deadline: float) -> bytes:
        """The next piece of the body, b"" at its proper end; waits until loop time `deadline`.

        Raises:
            TimeoutError: nothing came in time.
            ClientGone: the client left meanwhile.
            UpstreamBroken: the body ended early or is malformed.
        """
        ...

    async def flow(self, take: Take, departure: Departure, deadline: float) -> None:
        """Give `take` the pieces of the body as they come, until it asks for nothing more, or the body ends.

        It is called where a piece arrives, while this waits: no task runs for it. It must not raise, except
        to break the connection. Some pieces may still come with the next call; after the last one
        `take` is given b"". Errors as `read`, of what came before them nothing is lost.
        """
        ...

    def release(self) -> None:
        """Done with it: the connection is kept if it is clean, else closed. Idempotent."""
        ...

    def abort(self) -> None:
        """Give it up: the upstream sees the connection close at once. Idempotent."""
        ...


class Upstream(Protocol):
    """One place that answers requests."""

    async def send(
        self, head: bytes, body: bytes, departure: Departure, deadline: float, *, fresh: bool = False
    ) -> Response:
        """Send one request and wait for the answer's headers until loop time `deadline`.

        `head` is the request line and headers without Host, Content-Length and the blank line.
        `fresh` takes no kept connection but makes a new one.

        Raises:
            UpstreamUnreachable: no connection, or it closed before a byte of answer.
            UpstreamTimedOut: no answer in time.
            UpstreamBroken: what came is not HTTP.
            ClientGone: the client left meanwhile.
        """
        ...

    async def close(self) -> None:
        """Close every connection; call when no request is in progress."""
        ...


class Connection(asyncio.Protocol):
    """One connection and, while it is lent out, the one answer being read from it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, done: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        """What arrived of the body and nobody has taken."""
        self.on_body = self._chunks.append
        """httptools' callback for each piece of a body; a method of C, as a stream has many."""
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self.closed = False
        self.used = False
        self.lend()
        self._lent = False

    def lend(self) -> None:
        """Make ready for the next request."""
        self._lent = True
        self.status = 0
        self._fields: Headers = []
        self._chunks.clear()
        self._buffered_bytes = 0
        self._header_bytes = 0
        self._paused = False
        self._headers_done = False
        self._complete = False
        self._keep_alive = False
        self._failure: UpstreamFailed | None = None

    @property
    def headers(self) -> Headers:
        """See `Response.headers`. Made when asked for: of most answers nobody reads them."""
        return [(name.lower(), value) for name, value in self._fields]

    # -- what the pool and the attempt call --------------------------------

    def write(self, data: bytes) -> None:
        """Hand the request to the socket; a large one is buffered by the transport."""
        assert self._transport is not None  # noqa: S101 - lent are those that are connected
        self._transport.write(data)

    async def arrival(self, departure: Departure, deadline: float) -> None:
        """Wait for the answer's headers; errors as `Upstream.send`."""
        while not self._headers_done:
            if self._failure is not None:
                raise self._failure
            waiter = self._waiter = self._loop.create_future()
            await departure.wait(waiter, deadline)

    def arrived(self) -> bytes | None:
        """See `Response.arrived`."""
        if not self._complete or self._paused or not self._lent:
            return None
        body, self._lent = self._taken(), False
        self._finish()
        return body

    async def read(self, departure: Departure, deadline: float) -> bytes:
        """See `Response.read`."""
        while not self._chunks:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            waiter = self._waiter = self._loop.create_future()
            await departure.wait(waiter, deadline)
        return self._taken()

    async def flow(self, take: Take, departure: Departure, deadline: float) -> None:
        """See `Response.flow`."""
        self._take = take
        try:
            while not self._chunks and not self._complete:
                if self._failure is not None:
                    raise self._failure
                waiter = self._waiter = self._loop.create_future()
                await departure.wait(waiter, deadline)
                if not self._flows():
                    return
            take(self._taken())
        finally:
            self._take = None

    def _flows(self) -> bool:
        """Whether whoever takes the pieces still wants more."""
        return self._take is not None

    def _taken(self) -> bytes:
        """What is there of the body, to make room for more."""
        chunks = self._chunks
        taken = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered_bytes = 0
        if self._paused:
            self._paused = False
            cast("asyncio.Transport", self._transport).resume_reading()
        return taken

    def release(self) -> None:
        """See `Response.release`."""
        if not self._lent:
            return
        self._lent = False
        if self._complete:
            self._finish()
        elif self.closed or self._failure is not None:
            self.abort()
        else:
            # The reader has all that it needs; the end of the body may still be on its way.
            if self._paused:
                self._paused = False
                cast("asyncio.Transport", self._transport).resume_reading()
            self._drain_timer = self._loop.call_later(DRAIN_LIMIT_S, self.abort)

    def abort(self) -> None:
        """See `Response.abort`."""
        self._lent = False
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        if self._transport is not None and not self.closed:
            self.closed = True
            self._transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _finish(self) -> None:
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        if self.closed or not self._keep_alive:
            self.abort()
            return
        self._done(self)

    def _fail(self, failure: UpstreamFailed) -> None:
        if self._failure is None and not self._complete:
            self._failure = failure
            self._wake()

    # -- asyncio.Protocol ---------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if not self._lent and self._drain_timer is None:
            self.abort()  # an idle upstream has nothing to say; what it says belongs to no request
            return
        if not self._headers_done:
            self._header_bytes += len(data)  # no less than what is of the head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(UpstreamBroken("The upstream switched protocols."))
            self.abort_later()
        except httptools.HttpParserError:
            self._fail(UpstreamBroken("The upstream's answer is not valid HTTP/1.1."))
            self.abort_later()
        else:
            if not self._headers_done and self._header_bytes > HEADER_LIMIT_BYTES:
                self._fail_head()  # what came is head alone; the parser holds back what is not whole
        if self._chunks:
            self._deliver(len(data))

    def _deliver(self, size_bytes: int) -> None:
        """Something of the body came: who takes it has it at once; what waits is bounded."""
        waiter = self._waiter
        if not self._lent:
            self._chunks.clear()
        elif self._take is not None and waiter is not None and not waiter.done():
            if not self._take(self._taken()):
                self._take = None
                self._wake()
        else:
            self._buffered_bytes += size_bytes
            if self._buffered_bytes > HIGH_WATER_BYTES and not self._paused and not self.closed:
                self._paused = True
                cast("asyncio.Transport", self._transport).pause_reading()
            if self._waiter is not None:
                self._wake()

    def _fail_head(self) -> None:
        self._fail(UpstreamBroken(f"The upstream's headers exceed {HEADER_LIMIT_BYTES} bytes."))
        self.abort_later()

    def abort_later(self) -> None:
        """Close the socket but leave what was received readable."""
        if self._transport is not None and not self.closed:
            self.closed = True
            self._transport.abort()

    def eof_received(self) -> None:
        """See `asyncio.Protocol`; returning None closes our side too."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: what the end means depends on what had arrived."""
        self.closed = True
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        if not self._lent or self._complete:
            return
        if not self._headers_done:
            self._fail(self._closed_early())
        elif exc is None and not self._is_framed():
            self._complete = True  # RFC 9112, 6.3: without a length, the body ends where the connection does
            self._wake()
        else:
            self._fail(UpstreamBroken("The upstream's answer was cut off before its end."))

    def _is_framed(self) -> bool:
        """Whether the head says how long the body is."""
        return self.status in NO_BODY or any(name.lower() in _FRAMING for name, _ in self._fields)

    def _closed_early(self) -> UpstreamFailed:
        if self._header_bytes:
            return UpstreamUnreachable("The upstream closed the connection in the middle of its headers.")
        failure = UpstreamUnreachable("The upstream closed the connection before a byte of answer.")
        if self.used:
            # A kept connection that closes as it is taken up again says nothing of the upstream's health.
            failure.error_type, failure.counts = "stale_connection", False
        return failure

    # -- httptools' callbacks -----------------------------------------------

    def on_message_begin(self) -> None:
        """A new message: an interim answer may have gone before it."""
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        if self._headers_done:
            return  # a trailer
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """All headers are there; 1xx answers are passed over (RFC 9110, 15.2)."""
        self.status = self._parser.get_status_code()
        if self._failure is not None or self.status < 200:
            return
        if self._header_bytes > HEADER_LIMIT_BYTES and _size(self._fields) > HEADER_LIMIT_BYTES:
            self._fail_head()
            return
        self._headers_done = True
        if self._waiter is not None:
            self._wake()

    def on_message_complete(self) -> None:
        """The body ended properly."""
        if self.status < 200:
            self._fields = []
            return
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()  # never where the body ends with the connection
        if self._waiter is not None:
            self._wake()
        if self._drain_timer is not None:
            self._finish()


def _size(fields: Headers) -> int:
    return sum(len(name) + len(value) for name, value in fields)

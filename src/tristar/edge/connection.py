"""One client's connection: HTTP/1.1 taken apart by llhttp, its requests answered in order.

The framing is llhttp's in its strict form (RFC 9112): what two parsers could read differently is
refused. What is ours is the conduct around it: bounds on size and time, one request at a time,
what becomes of a request whose rest does not come, and how a connection ends.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Protocol, cast
from urllib.parse import unquote

import httptools
import structlog

from tristar.corridor import Headers
from tristar.edge.envelope import body_of, headers_of
from tristar.edge.turn import Turn
from tristar.errors import BadRequest, GatewayError, HeadTooLarge, RequestTooSlow
from tristar.relay.departure import Departure, Wheel

HEAD_LIMIT_BYTES = 64 * 1024
HEAD_LIMIT_FIELDS = 100
BUFFER_BYTES = 64 * 1024
"""What is held of a body, or written and not taken, before the other side has to wait."""

KEEP_ALIVE_S = 75
HEAD_LIMIT_S = 15
BODY_SILENCE_S = 30
BODY_LIMIT_S = 600
STALL_LIMIT_S = 120
LINGER_S = 2

_UNKEPT = frozenset({b"upgrade", b"connection", b"http2-settings"})
_log = structlog.get_logger("tristar.edge")


class Phase(IntEnum):
    """What a connection is waiting for; each has its patience."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    ANSWER = 3
    LINGER = 4


PATIENCE_S = {
    Phase.IDLE: KEEP_ALIVE_S,
    Phase.HEAD: HEAD_LIMIT_S,
    Phase.BODY: BODY_SILENCE_S,
    Phase.ANSWER: STALL_LIMIT_S,
    Phase.LINGER: LINGER_S,
}


class House(Protocol):
    """What a connection asks of the server that it belongs to."""

    loop: asyncio.AbstractEventLoop
    wheel: Wheel
    now: int
    """Whole seconds of a clock that never goes back; precise enough for patience."""
    date: bytes
    draining: bool

    def join(self, connection: "Connection") -> None:
        """It is open."""
        ...

    def leave(self, connection: "Connection") -> None:
        """It is closed, and its last request has ended."""
        ...

    @property
    def serve(self) -> Callable[[Turn], Awaitable[None]]:
        """Answers one request; it raises only where the connection must break."""
        ...


class Connection(asyncio.Protocol):
    """See `edge.turn.Line`. It leaves its house when its last task has ended."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.loop = house.loop
        self.wheel = house.wheel
        self.peer: tuple[str, int] | None = None
        self.here: tuple[str, int] | None = None
        self.is_secure = False
        self.is_slow = False
        self.task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._reading: Turn | None = None
        """The turn whose request is arriving."""
        self._answering: Turn | None = None
        self._waiting: deque[Turn] = deque()
        """Requests that arrived before the answer to an earlier one was complete."""
        self._phase = Phase.IDLE
        self._since = self._began = house.now
        self._input_bytes = self._head_bytes = 0
        """What came last; and since the present message began, and perhaps some of the one before."""
        self._framing_bytes = 0
        self._fed = False
        """Whether the last input held something of a body, or the end of a head."""
        self._is_paused = False
        self._is_last = False
        """No request after the present one is served."""
        self._drained: asyncio.Future[None] | None = None

    # -- asyncio.Protocol --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer = _address(transport.get_extra_info("peername"))
        self.here = _address(transport.get_extra_info("sockname"))
        self.is_secure = transport.get_extra_info("sslcontext") is not None
        self._house.join(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_last and self._reading is None:
            return  # whatever it is, it will not be served
        if self._phase is not Phase.HEAD:
            self._since = self._house.now
            if self._phase is Phase.IDLE:
                self._phase = Phase.HEAD
        self._input_bytes = len(data)
        if self._reading is not None:
            self._head_bytes += self._input_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._refuse(self._fault_of(error))
        except httptools.HttpParserError as error:
            self._refuse(BadRequest(f"The request is not valid HTTP/1.1: {error}."))
        else:
            if self._reading is not None:
                self._bound(self._input_bytes)

    def eof_received(self) -> None:
        """See `asyncio.Protocol`: who has closed their side has left, as with other proxies."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self._transport = None
        self._is_last = True
        self._waiting.clear()
        self.resume_writing()
        turn = self._answering
        if turn is None:
            self._house.leave(self)
        elif not turn.ended:
            turn.lose()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.is_slow = True
        self._since = self._house.now

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self.is_slow = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # -- httptools' callbacks ------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading = Turn(self, Departure(self.loop, self.wheel))
        self._head_bytes = self._input_bytes
        if self._answering is None:
            self._phase = Phase.HEAD

    def on_url(self, piece: bytes) -> None:
        """A piece of the request's target."""
        turn = self._reading
        assert turn is not None  # noqa: S101 - see `_turn`; calling it for each piece costs more than the piece
        turn.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        turn = self._reading
        assert turn is not None  # noqa: S101 - the same
        if not turn.method:
            turn.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: the request is served as soon as its turn comes."""
        parser, turn = self._parser, self._reading
        assert turn is not None  # noqa: S101 - the same
        if parser.should_upgrade():
            return
        version = parser.get_http_version()
        is_http_1_0 = version == "1.0"
        expects = _check_head(turn, version, self._head_bytes)
        turn.open(
            parser.get_method().decode("ascii"),
            _path(turn.target),
            is_http_1_0=is_http_1_0,
            keep_alive=not is_http_1_0 and parser.should_keep_alive(),
            expects=expects,
        )
        self._fed = True
        if self._answering is None:
            self._begin(turn)
        else:
            self._waiting.append(turn)
            self._pause()

    def on_body(self, piece: bytes) -> None:
        """A piece of the request's body."""
        turn = self._reading
        assert turn is not None  # noqa: S101 - the same
        self._fed = True
        turn.feed(piece)
        if turn.arrived_bytes > BUFFER_BYTES:
            self._pause()

    def on_message_complete(self) -> None:
        """The request has arrived to its end."""
        if self._parser.should_upgrade():
            return
        turn, self._reading = self._reading, None
        assert turn is not None  # noqa: S101 - the same
        turn.complete()
        if turn is self._answering:
            self._phase = Phase.ANSWER

    # -- what a turn asks ------------------------------------------------------------

    @property
    def stays(self) -> bool:
        """See `Line.stays`."""
        return not self._is_last and not self._house.draining

    @property
    def date(self) -> bytes:
        """See `Line.date`."""
        return self._house.date

    def write(self, data: bytes) -> None:
        """See `Line.write`."""
        if self._transport is not None:
            self._transport.write(data)

    async def drained(self) -> None:
        """See `Line.drained`."""
        while self.is_slow and self._transport is not None:
            self._drained = self._drained or self.loop.create_future()
            await self._drained

    def hungry(self) -> None:
        """See `Line.hungry`."""
        self._resume()

    def finish(self, turn: Turn, *, stays: bool) -> None:
        """See `Line.finish`."""
        if not stays:
            self._hang_up(rest_is_coming=not turn.received)

    # -- what the house asks -----------------------------------------------------------

    def retire(self) -> None:
        """The house closes: end now if nothing is in progress, else after the answer."""
        self._is_last = True
        if self._answering is None:
            self._hang_up(rest_is_coming=False)

    def look(self) -> None:
        """Called every second: whoever keeps a connection waiting for too long loses it."""
        now = self._house.now
        if self._phase is Phase.BODY and now - self._began >= BODY_LIMIT_S:
            self._refuse(RequestTooSlow(f"The request's body did not arrive within {BODY_LIMIT_S} s."))
        if now - self._since < PATIENCE_S[self._phase]:
            return
        if self._phase is Phase.HEAD:
            self._refuse(RequestTooSlow(f"The request's head did not arrive within {HEAD_LIMIT_S} s."))
        elif self._phase is Phase.BODY:
            if not self._is_paused:
                self._refuse(RequestTooSlow(f"Nothing of the request's body came for {BODY_SILENCE_S} s."))
        elif self._phase is not Phase.ANSWER or self.is_slow:
            self.abort()

    def abort(self) -> None:
        """Break the connection, visibly."""
        if self._transport is not None:
            self._transport.abort()

    # -- inside ------------------------------------------------------------------------

    def _turn(self) -> Turn:
        assert self._reading is not None  # noqa: S101 - llhttp begins every message before it goes on
        return self._reading

    def _begin(self, turn: Turn) -> None:
        self._answering = turn
        self._since = self._began = self._house.now
        self._phase = Phase.ANSWER if turn.received else Phase.BODY
        self.task = self.loop.create_task(self._live(turn))

    async def _live(self, turn: Turn) -> None:
        try:
            await self._house.serve(turn)
        except Exception:  # noqa: BLE001 - the front has logged it; the client must see a broken answer
            self.abort()
        finally:
            self._answering = self.task = None
            if self._transport is None:
                self._house.leave(self)
            elif not turn.ended:
                self.abort()
            else:
                self._go_on()

    def _go_on(self) -> None:
        """An answer is complete: the next request, or none."""
        if self._phase is Phase.LINGER:
            return
        if self._is_last:
            self._hang_up(rest_is_coming=False)
            return
        if self._waiting:
            self._begin(self._waiting.popleft())
        else:
            self._since = self._house.now
            self._phase = Phase.IDLE if self._reading is None else Phase.HEAD
        if self._is_paused and not self._waiting:
            self._resume()

    def _refuse(self, error: GatewayError) -> None:
        """What came cannot be served, and nothing after it can be told apart any more."""
        self._is_last = True
        turn, self._reading = self._reading, None
        if turn is not None and turn is self._answering and not turn.ended:
            turn.fail(error)  # its own task answers, and enters it in the record
        elif self._answering is None:
            self._tell(error)

    def _tell(self, error: GatewayError) -> None:
        """Answer what never became a request."""
        turn = Turn(self, Departure(self.loop, self.wheel))
        turn.refuse(error.status, headers_of(error), body_of(error))

    def _fault_of(self, error: Exception) -> GatewayError:
        cause = error.__context__
        if isinstance(cause, GatewayError):
            return cause
        _log.error("request failed before it was served", exc_info=cause)
        return GatewayError("The gateway failed; its log has the details. Report it.")

    def _bound(self, size_bytes: int) -> None:
        """What llhttp holds back, of a head, a trailer or a chunk's extensions, is bounded too."""
        if self._fed:
            self._fed, self._framing_bytes = False, 0
            return
        self._framing_bytes += size_bytes
        if self._framing_bytes > HEAD_LIMIT_BYTES:
            self._refuse(HeadTooLarge(f"The request's head or trailer exceeds {HEAD_LIMIT_BYTES} bytes."))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Serve the request as if it had not asked for another protocol (RFC 9110, 7.8).

        llhttp stops after a head that asks for one, so it gets the head again without that.
        """
        turn = self._turn()
        parser, self._parser = self._parser, httptools.HttpRequestParser(self)
        method = parser.get_method()
        if method == b"CONNECT":
            self._refuse(BadRequest("This is not a proxy: CONNECT is not served."))
            return
        kept = [name + b": " + value for name, value in turn.headers if name not in _UNKEPT]
        head = b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, turn.target, b"\r\n".join(kept))
        self._reading = None
        self.data_received(head + rest)

    def _hang_up(self, *, rest_is_coming: bool) -> None:
        """Close once everything is written; what still comes is read and dropped for a while.

        A socket that is closed with unread input resets the connection, and the client may lose the answer.
        """
        self._is_last = True
        self._reading = None if self._reading is self._answering else self._reading
        self._waiting.clear()
        transport = self._transport
        if transport is None:
            return
        if rest_is_coming and transport.can_write_eof():
            self._phase, self._since = Phase.LINGER, self._house.now
            self._reading = None
            self._resume()
            transport.write_eof()
        else:
            transport.close()

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()


def _address(name: object) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def _check_head(turn: Turn, version: str, most_bytes: int) -> bool:
    """Refuse a head that others could read otherwise; whether it expects `100 Continue`."""
    if version not in {"1.1", "1.0"}:
        raise BadRequest("The request must be HTTP/1.1 or HTTP/1.0.")
    headers = turn.headers
    fields = dict(headers)
    if (most_bytes > HEAD_LIMIT_BYTES and _size(turn) > HEAD_LIMIT_BYTES) or len(headers) > HEAD_LIMIT_FIELDS:
        raise HeadTooLarge(
            f"The request's head exceeds {HEAD_LIMIT_BYTES} bytes or {HEAD_LIMIT_FIELDS} fields."
        )
    if len(fields) != len(headers):  # some name more than once
        _check_twins(headers)
    if b"transfer-encoding" in fields and (version == "1.0" or not _is_chunked(fields[b"transfer-encoding"])):
        raise _not_chunked()
    if b"host" not in fields and version == "1.1":
        raise _not_one_host()
    return b"expect" in fields and version == "1.1" and fields[b"expect"].lower() == b"100-continue"


def _check_twins(headers: Headers) -> None:
    """Of what decides where a request goes and where it ends there must not be two readings."""
    if any(name == b"transfer-encoding" and not _is_chunked(value) for name, value in headers):
        raise _not_chunked()
    if sum(name == b"host" for name, _ in headers) > 1:
        raise _not_one_host()


def _is_chunked(coding: bytes) -> bool:
    return coding.lower() == b"chunked"


def _not_chunked() -> BadRequest:
    return BadRequest("The only Transfer-Encoding that is served is `chunked`, in HTTP/1.1.")


def _not_one_host() -> BadRequest:
    return BadRequest("The request must have one Host header.")


def _size(turn: Turn) -> int:
    return len(turn.target) + sum(len(name) + len(value) for name, value in turn.headers)


def _path(target: bytes) -> str:
    """The decoded path of a request target, in origin form as a rule (RFC 9112, 3.2)."""
    if target[:1] == b"/" and b"#" not in target:
        path = target.partition(b"?")[0].decode("ascii", "replace")
    elif target == b"*":
        return "*"
    else:
        path = _absolute(target)
    return unquote(path) if "%" in path else path


def _absolute(target: bytes) -> str:
    """The path of a target that is a whole URL, as proxies are sent it."""
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError as error:
        raise BadRequest("The request's target is not a path.") from error
    if b"#" in target or not parsed.schema:
        raise BadRequest("The request's target must be a path, or an absolute URL without a fragment.")
    return (parsed.path or b"/").decode("ascii", "replace")

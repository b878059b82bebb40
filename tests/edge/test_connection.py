"""Our own HTTP/1.1 server, fed by hand: framing, bounds, patience, order, ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.house import House, Serve, Socket, echo, settle

from tristar.edge import connection as limits
from tristar.edge.turn import Turn
from tristar.errors import GatewayError
from tristar.relay.departure import ClientGone

HEAD = b"POST /v1/chat HTTP/1.1\r\nHost: a\r\n"
WHOLE = HEAD + b"Content-Length: 3\r\n\r\nabc"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def answered(*pieces: bytes, serve: Serve = echo) -> Socket:
    """What a client that sends these pieces is sent, once everything has come to rest."""

    async def run() -> Socket:
        connection, socket = House(serve).visitor()
        for piece in pieces:
            connection.data_received(piece)
            await settle()
        connection.connection_lost(None)
        await settle()
        return socket

    return asyncio.run(run())


def in_house(story: Callable[[House], Awaitable[None]], serve: Serve = echo) -> None:
    """Run a story in a house of its own."""

    async def run() -> None:
        await story(House(serve))

    asyncio.run(run())


def status_of(socket: Socket) -> int:
    """The status of the first answer."""
    return int(socket.sent[9:12])


# -- framing -----------------------------------------------------------------------


def test_a_request_is_answered_and_the_connection_stays() -> None:
    """Date, length and body; no word of closing."""
    socket = answered(WHOLE)

    assert socket.sent == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 21\r\n\r\nPOST /v1/chat abc".replace(b"21", b"17")
    )
    assert not socket.closed


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=6, unique=True).map(sorted))
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_how_a_request_is_cut(cuts: list[int]) -> None:
    """Any split of the bytes into packets is the same request."""
    pieces = [WHOLE[a:b] for a, b in zip([0, *cuts], [*cuts, len(WHOLE)], strict=True)]

    assert answered(*pieces).sent.endswith(b"\r\n\r\nPOST /v1/chat abc")


def test_a_chunked_body_is_put_together() -> None:
    """Chunk extensions and trailers are passed over."""
    socket = answered(CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n")

    assert socket.sent.endswith(b"POST /v1/chat abcde")


SMUGGLED = {
    "length and chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": HEAD + b"Content-Length: -3\r\n\r\nabc",
    "an empty length": HEAD + b"Content-Length: \r\n\r\n",
    "a folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "a blank before the colon": HEAD + b"X : a\r\n\r\n",
    "a header without a name": HEAD + b": a\r\n\r\n",
    "a bad character in a name": HEAD + b"X(: a\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\0b\r\n\r\n",
    "CR in a value": HEAD + b"X: a\rb\r\n\r\n",
    "bare LF between headers": HEAD + b"X: a\nY: b\r\n\r\n",
    "bare LF after the request line": b"POST /v1/chat HTTP/1.1\nHost: a\n\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "a coding under chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "almost chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"3\r\nabcX\r\n0\r\n\r\n",
    "bare LF after a chunk's size": CHUNKED + b"3\nabc\n0\n\n",
    "a chunk of unspeakable size": CHUNKED + b"fffffffffffffffff\r\nabc",
    "no host": b"GET /x HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "HTTP/1.2": b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2": b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no method": b"FOO /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a lower-case method": b"get /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a blank in the target": b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /x#f HTTP/1.1\r\nHost: a\r\n\r\n",
    "a control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("request_bytes", SMUGGLED.values(), ids=list(SMUGGLED))
def test_what_can_be_read_in_two_ways_is_refused(request_bytes: bytes) -> None:
    """400 in the envelope, and the connection ends: nothing that follows can be told apart any more."""
    socket = answered(request_bytes, WHOLE)

    assert status_of(socket) == 400
    assert b"connection: close\r\n" in socket.sent
    assert socket.sent.count(b"\r\ndate: now\r\n") == 1
    assert b'{"error":{"message":' in socket.sent
    assert socket.has_ended()


@pytest.mark.parametrize("target", [b"http://gw.example/v1/chat?q=1", b"/v1/%63hat?q=1", b"/v1/chat"])
def test_targets_in_other_forms_mean_the_same_path(target: bytes) -> None:
    """Absolute, as sent to proxies, or percent-encoded."""
    assert b"GET /v1/chat " in answered(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target).sent


def test_a_wish_for_another_protocol_is_passed_over() -> None:
    """Java's client offers h2c with every request: it is served in HTTP/1.1, its body included."""
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    socket = answered(HEAD + wish + b"Content-Length: 3\r\n\r\nabc" + WHOLE)

    assert socket.sent.count(b"\r\n\r\nPOST /v1/chat abc") == 2
    assert not socket.closed


# -- order -------------------------------------------------------------------------


def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    """In order, however they arrive; while one waits, nothing more is read."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        connection.data_received(WHOLE.replace(b"abc", b"one") + WHOLE.replace(b"abc", b"two") + WHOLE)
        assert not socket.reading
        await settle()
        answers = [part[-3:] for part in socket.sent.split(b"HTTP/1.1 200 OK")[1:]]
        assert answers == [b"one", b"two", b"abc"]
        assert socket.reading

    in_house(story)


def test_a_bad_request_behind_a_good_one_spoils_only_itself() -> None:
    """The good one is answered whole; then the connection ends without a second answer in between."""
    socket = answered(WHOLE + b"GARBAGE\r\n\r\n")

    assert socket.sent.endswith(b"POST /v1/chat abc")
    assert socket.sent.count(b"\r\ndate: now\r\n") == 1
    assert b"connection: close" in socket.sent
    assert socket.closed


def test_nothing_is_served_after_a_client_said_close() -> None:
    """What follows a request with `Connection: close` is not a request."""
    socket = answered(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + WHOLE)

    assert socket.sent.count(b"\r\ndate: now\r\n") == 1
    assert socket.closed


def test_http_1_0_is_answered_and_closed() -> None:
    """Also where it asks to stay."""
    socket = answered(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    assert socket.sent.endswith(b"connection: close\r\n\r\nGET /x ")
    assert socket.closed


# -- the answer ----------------------------------------------------------------------


async def stream(turn: Turn) -> None:
    """Answers in three pieces."""
    await turn.body(None, 100)
    await turn.begin(200, [(b"content-type", b"text/event-stream")])
    await turn.send(b"one")
    await turn.send(b"")
    await turn.end(b"two")


def test_a_stream_is_chunked() -> None:
    """An empty piece is not sent: it would end the answer."""
    socket = answered(WHOLE, serve=stream)

    assert socket.sent.endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert not socket.closed


def test_what_is_pushed_goes_out_at_once_unless_the_client_is_slow() -> None:
    """Pushed or sent, it is the same chunk; what is refused was not sent."""
    pushed: list[bool] = []
    visitors: list[limits.Connection] = []

    async def push(turn: Turn) -> None:
        await turn.body(None, 100)
        await turn.begin(200, [])
        pushed.append(turn.push(b"one"))
        visitors[0].pause_writing()
        pushed.append(turn.push(b"two"))
        visitors[0].resume_writing()
        await turn.end(b"three")

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        visitors.append(connection)
        connection.data_received(WHOLE)
        await settle()
        assert socket.sent.endswith(b"\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")

    in_house(story, push)

    assert pushed == [True, False]


def test_a_stream_to_http_1_0_ends_with_the_connection() -> None:
    """It knows no chunks."""
    socket = answered(b"GET /x HTTP/1.0\r\n\r\n", serve=stream)

    assert socket.sent.endswith(b"connection: close\r\n\r\nonetwo")
    assert socket.closed


def test_an_answer_to_head_has_no_body() -> None:
    """Only how long it would have been."""
    assert answered(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n").sent.endswith(b"content-length: 8\r\n\r\n")


def test_a_defect_amid_an_answer_breaks_the_connection() -> None:
    """A stream that ends like this must not look complete."""

    async def defect(turn: Turn) -> None:
        await turn.begin(200, [])
        await turn.send(b"one")
        raise RuntimeError("defect")

    socket = answered(WHOLE, serve=defect)

    assert socket.aborted
    assert not socket.sent.endswith(b"0\r\n\r\n")


def test_a_slow_client_holds_the_answer_up() -> None:
    """While it does not take what was written, nothing more is; when it is gone, all goes on."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        connection.pause_writing()
        connection.data_received(WHOLE)
        await settle()
        assert socket.sent == b""
        connection.resume_writing()
        await settle()
        assert socket.sent.endswith(b"abc")

    in_house(story)


# -- bounds ----------------------------------------------------------------------------


LONG = {
    "target": [b"GET /" + b"x" * limits.HEAD_LIMIT_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n"],
    "field": [HEAD + b"X: " + b"x" * limits.HEAD_LIMIT_BYTES + b"\r\n\r\n"],
    "fields": [HEAD + b"".join(b"X%d: x\r\n" % n for n in range(limits.HEAD_LIMIT_FIELDS)) + b"\r\n"],
    "field without an end": [HEAD + b"X: ", *[b"x" * 1024] * 70],
    "target without an end": [b"GET /", *[b"x" * 1024] * 70],
    "trailer without an end": [CHUNKED + b"1\r\na\r\n0\r\nX: ", *[b"x" * 1024] * 70],
    "chunk extension without an end": [CHUNKED + b"1;", *[b"x" * 1024] * 70],
}


@pytest.mark.parametrize("pieces", LONG.values(), ids=list(LONG))
def test_a_head_is_bounded(pieces: list[bytes]) -> None:
    """431, before memory is filled."""
    socket = answered(*pieces)

    assert status_of(socket) == 431
    assert socket.has_ended()


async def tell(turn: Turn) -> None:
    """Answers what is wrong with the body, as the front does."""
    try:
        await turn.body(None, 10)
    except GatewayError as error:
        await turn.whole(error.status, [], error.code.encode())
    else:
        await turn.whole(200, [], b"")


def test_a_body_beyond_the_bound_is_refused_before_its_end() -> None:
    """The rest is dropped; the client hears 413, and that the connection ends."""
    socket = answered(CHUNKED + b"14\r\n" + b"x" * 20, b"x" * 100, serve=tell)

    assert status_of(socket) == 413
    assert b"connection: close" in socket.sent
    assert socket.shut


def test_a_body_that_breaks_off_is_the_servers_of_its_request_to_refuse() -> None:
    """Broken framing amid a body reaches whoever waits for it, once."""
    socket = answered(CHUNKED + b"3\r\nab", b"cX\r\n", serve=tell)

    assert status_of(socket) == 400
    assert socket.sent.count(b"\r\ndate: now\r\n") == 1
    assert socket.shut


def test_an_unread_body_holds_the_client_back() -> None:
    """Nobody asks for it: no more is read than the bound."""

    async def idle(turn: Turn) -> None:
        await turn.over()

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        connection.data_received(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 70_000)
        await settle()
        assert not socket.reading
        connection.connection_lost(None)
        await settle()
        assert not house.connections

    in_house(story, idle)


# -- 100-continue ---------------------------------------------------------------------


EXPECT = HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"


def test_a_client_that_waits_is_told_to_go_on_when_its_body_is_wanted() -> None:
    """Then it is answered as any other."""
    socket = answered(EXPECT, b"abc")

    assert socket.sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert not socket.closed


def test_a_client_that_does_not_wait_is_not_told() -> None:
    """Its body is there already."""
    assert b"100 Continue" not in answered(EXPECT + b"abc").sent


def test_a_client_that_waits_may_be_refused_without_its_body() -> None:
    """The final answer comes instead, and the connection ends."""

    async def refuse(turn: Turn) -> None:
        await turn.whole(401, [], b"")

    socket = answered(EXPECT, serve=refuse)

    assert status_of(socket) == 401
    assert socket.shut


# -- patience ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "patience_s", "status"),
    [
        (b"", limits.KEEP_ALIVE_S, 0),
        (WHOLE, limits.KEEP_ALIVE_S, 200),
        (HEAD, limits.HEAD_LIMIT_S, 408),
        (HEAD + b"Content-Length: 3\r\n\r\na", limits.BODY_SILENCE_S, 408),
    ],
    ids=["never a byte", "between requests", "amid a head", "amid a body"],
)
def test_who_keeps_a_connection_waiting_loses_it(sent: bytes, patience_s: int, status: int) -> None:
    """Each state has its patience; where a request had begun, the client is told."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        if sent:
            connection.data_received(sent)
        await settle()
        house.pass_time(patience_s - 1)
        await settle()
        assert not socket.has_ended()
        house.pass_time(1)
        await settle()
        assert socket.has_ended()
        assert (status_of(socket) if socket.sent else 0) == status
        house.pass_time(limits.LINGER_S)
        assert socket.closed

    in_house(story, tell)


def test_a_head_that_drips_runs_out_of_time_all_the_same() -> None:
    """A byte now and then does not extend its time."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        for byte in HEAD[: limits.HEAD_LIMIT_S]:
            connection.data_received(bytes([byte]))
            house.pass_time(1)
        assert status_of(socket) == 408

    in_house(story)


def test_a_body_that_drips_runs_out_of_time_in_the_end() -> None:
    """Each byte extends its time, up to the whole of it."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        connection.data_received(HEAD + b"Content-Length: 1000\r\n\r\n")
        await settle()
        for _ in range(limits.BODY_LIMIT_S // 20):
            assert not socket.sent
            connection.data_received(b"x")
            house.pass_time(20)
            await settle()
        assert status_of(socket) == 408

    in_house(story)


def test_a_client_that_stops_reading_loses_its_connection() -> None:
    """An answer in progress waits as long as it must, but not for a client that takes nothing."""

    async def story(house: House) -> None:
        connection, socket = house.visitor()
        connection.data_received(WHOLE)
        await settle()
        house.pass_time(limits.STALL_LIMIT_S - 1)
        assert not socket.closed
        connection.pause_writing()
        house.pass_time(limits.STALL_LIMIT_S)
        assert socket.aborted

    async def never(turn: Turn) -> None:
        await turn.over()

    in_house(story, never)


# -- ends ---------------------------------------------------------------------------------


def test_a_client_that_leaves_is_noticed_at_once() -> None:
    """Whoever serves it learns of it wherever it waits; then the connection is forgotten."""
    noticed: list[str] = []

    async def wait(turn: Turn) -> None:
        try:
            await turn.body(None, 100)
        except ClientGone:
            noticed.append("body")
            return
        await turn.over()
        noticed.append("answer" if turn.departure.gone else "never")

    answered(HEAD + b"Content-Length: 3\r\n\r\na", serve=wait)
    answered(WHOLE, serve=wait)

    assert noticed == ["body", "answer"]


def test_a_house_that_closes_lets_answers_finish() -> None:
    """Idle connections end at once, others after their answer, which says so."""
    go_on = asyncio.Event()

    async def slow(turn: Turn) -> None:
        await go_on.wait()
        await echo(turn)

    async def story(house: House) -> None:
        (_, idle), (busy_connection, busy) = house.visitor(), house.visitor()
        busy_connection.data_received(WHOLE + WHOLE)
        await settle()
        house.draining = True
        for connection in list(house.connections):
            connection.retire()
        assert idle.closed
        assert not busy.closed
        go_on.set()
        await settle()
        assert busy.sent.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in busy.sent
        assert busy.closed

    in_house(story, slow)

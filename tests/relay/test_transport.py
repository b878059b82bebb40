"""A connection to an upstream, fed by hand; sockets are for tests/faults."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from tristar.errors import UpstreamBroken, UpstreamUnreachable
from tristar.relay.connections import Origin, Pool
from tristar.relay.departure import ClientGone, Departure, apart
from tristar.relay.transport import HEADER_LIMIT_BYTES, Connection

NOBODY = "nowhere.invalid"
"""No resolver knows it: RFC 6761, section 6.4."""
RUNS = pytest.mark.parametrize("run", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])


class _Socket(asyncio.Transport):
    """Takes what is written and can be aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def abort(self) -> None:
        """Noted."""
        self.aborted = True

    def pause_reading(self) -> None:
        """Nothing is read anyway."""


async def _arrived(*pieces: bytes) -> Connection:
    """A connection whose upstream has sent these."""
    loop = asyncio.get_running_loop()
    connection = Connection(loop, lambda _: None)
    connection.connection_made(_Socket())
    connection.lend()
    for piece in pieces:
        connection.data_received(piece)
    await connection.arrival(apart(loop), loop.time() + 10)
    return connection


def test_a_long_body_right_behind_the_head_is_no_long_head() -> None:
    """What counts against the bound is the head alone, however much arrives with it."""
    body = b"x" * (2 * HEADER_LIMIT_BYTES)
    head = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def read() -> bytes:
        connection = await _arrived(head + body)
        return await connection.read(apart(asyncio.get_running_loop()), 1e9)

    assert asyncio.run(read()) == body


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * HEADER_LIMIT_BYTES + b"\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: ", *[b"y" * 1024] * 80],
    ],
    ids=["many fields at once", "one field without an end"],
)
def test_a_head_beyond_the_bound_is_broken_off(pieces: list[bytes]) -> None:
    """In many fields or in one, an upstream cannot fill the memory with headers."""
    with pytest.raises(UpstreamBroken, match="headers exceed"):
        asyncio.run(_arrived(*pieces))


async def _asked(base_url: str, departure: Departure) -> None:
    """One request to an upstream that no connection is open to."""
    loop = asyncio.get_running_loop()
    pool = Pool(Origin.of(base_url), loop, None)
    try:
        await pool.send(b"POST / HTTP/1.1\r\n", b"", departure, loop.time() + 10)
    finally:
        await pool.close()


async def _unheard(asking: Callable[[], Awaitable[None]]) -> list[Any]:
    """What the loop has to say of errors that nobody asked for, once `asking` is over."""
    said: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    await asking()
    gc.collect()
    await asyncio.sleep(0)  # the tasks that are over let go of what they raised
    gc.collect()
    return said


@RUNS
@pytest.mark.parametrize("turns", range(5))
def test_a_name_that_fails_to_resolve_after_the_client_left_is_no_error_of_the_loop(
    run: Callable[[Any], list[Any]], turns: int
) -> None:
    """However far the connection had come: the failure is nobody's any more, and is not logged."""

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        departure = apart(loop)
        asking = loop.create_task(_asked(f"http://{NOBODY}/v1", departure))
        for _ in range(turns):
            await asyncio.sleep(0)
        departure.announce()
        with pytest.raises(ClientGone):
            await asking
        for _ in range(5):  # the resolver has answered the first question by then
            with pytest.raises(socket.gaierror):
                await loop.getaddrinfo(NOBODY, 80)

    assert run(_unheard(leave)) == []


@RUNS
def test_a_name_without_an_address_is_an_upstream_that_cannot_be_reached(run: Callable[[Any], Any]) -> None:
    """With the resolver's reason."""

    async def ask() -> None:
        with pytest.raises(UpstreamUnreachable, match=r"known|address"):
            await _asked(f"http://{NOBODY}/v1", apart(asyncio.get_running_loop()))

    assert run(_unheard(ask)) == []


class _Names(asyncio.SelectorEventLoop):
    """A loop whose resolver gives these addresses."""

    places: tuple[str, ...] = ()

    async def getaddrinfo(self, host: object, port: object, **options: object) -> list[Any]:
        """Each of them."""
        del host, options
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port)) for place in self.places]


@pytest.mark.parametrize("places", [("127.0.0.9", "127.0.0.1"), ("127.0.0.1", "127.0.0.9")])
def test_the_first_address_that_accepts_is_taken(places: tuple[str, ...]) -> None:
    """A host that has several is reached while one of them answers."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await _asked(f"http://upstream.example:{port}/v1", apart(asyncio.get_running_loop()))

    with asyncio.Runner(loop_factory=_Names) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, _Names)
        loop.places = places

        runner.run(ask())


class _Late(_Names):
    """A loop whose connections are there although nobody waits for them any more."""

    places = ("192.0.2.1",)

    async def create_connection(  # type: ignore[override]  # of its base's overloads the one that is called
        self, factory: Callable[[], asyncio.Protocol], *place: object, **options: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Made in spite of the cancellation that came meanwhile."""
        del place, options
        connection = factory()
        self.made = _Socket()
        connection.connection_made(self.made)
        with pytest.raises(asyncio.CancelledError):
            await self.create_future()
        return self.made, connection


def test_a_connection_that_comes_after_the_client_left_is_closed() -> None:
    """It would stay open for ever: nobody has borrowed it, and nobody gives it back."""

    async def leave() -> None:
        loop = asyncio.get_running_loop()
        departure = apart(loop)
        asking = loop.create_task(_asked("http://127.0.0.1:9/v1", departure))
        for _ in range(3):
            await asyncio.sleep(0)
        departure.announce()
        with pytest.raises(ClientGone):
            await asking

    with asyncio.Runner(loop_factory=_Late) as runner:
        runner.run(leave())
        loop = runner.get_loop()

        assert isinstance(loop, _Late)
        assert loop.made.aborted


class _Taker:
    """Takes pieces, and wants no more after each that is in `last`."""

    def __init__(self, *last: bytes) -> None:
        self.taken: list[bytes] = []
        self._last = last

    def take(self, piece: bytes) -> bool:
        """See `Response.flow`."""
        self.taken.append(piece)
        return piece not in self._last


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ONE, TWO, THREE = (b"%x\r\n%b\r\n" % (len(each), each) for each in (b"one", b"two", b"three"))
FAR_S = 1e9


def test_who_takes_pieces_has_each_as_it_arrives_until_one_is_enough() -> None:
    """No task runs in between; what comes after it waits for the next call, and the end comes last."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        connection, taker = await _arrived(HEAD), _Taker(b"two")
        departure = apart(loop)
        flowing = loop.create_task(connection.flow(taker.take, departure, FAR_S))
        await asyncio.sleep(0)
        for piece, seen in ((ONE, [b"one"]), (TWO, [b"one", b"two"]), (THREE, [b"one", b"two"])):
            connection.data_received(piece)
            assert taker.taken == seen
        await flowing
        connection.data_received(b"0\r\n\r\n")
        await connection.flow(taker.take, departure, FAR_S)
        await connection.flow(taker.take, departure, FAR_S)
        assert taker.taken == [b"one", b"two", b"three", b""]

    asyncio.run(story())


def test_what_came_before_a_body_breaks_is_taken_before_the_failure_is_told() -> None:
    """Also what came in one read with it."""

    async def story() -> list[bytes]:
        loop = asyncio.get_running_loop()
        connection, taker, departure = await _arrived(HEAD), _Taker(), apart(loop)
        flowing = loop.create_task(connection.flow(taker.take, departure, FAR_S))
        await asyncio.sleep(0)
        connection.data_received(ONE)
        connection.data_received(TWO + b"nonsense\r\n")
        await flowing
        with pytest.raises(UpstreamBroken, match="not valid"):
            await connection.flow(taker.take, departure, FAR_S)
        return taker.taken

    assert asyncio.run(story()) == [b"one", b"two"]


def test_a_client_that_leaves_ends_the_flow() -> None:
    """What arrives then is taken by nobody."""

    async def story() -> list[bytes]:
        loop = asyncio.get_running_loop()
        connection, taker, departure = await _arrived(HEAD), _Taker(), apart(loop)
        flowing = loop.create_task(connection.flow(taker.take, departure, FAR_S))
        await asyncio.sleep(0)
        connection.data_received(ONE)
        departure.announce()
        connection.data_received(TWO)
        with pytest.raises(ClientGone):
            await flowing
        connection.data_received(THREE)
        return taker.taken

    assert asyncio.run(story()) == [b"one"]

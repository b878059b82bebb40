"""A connection to an upstream, fed by hand; sockets are for tests/faults."""

import asyncio

import pytest

from tristar.errors import UpstreamBroken
from tristar.relay.departure import Departure
from tristar.relay.transport import HEADER_LIMIT_BYTES, Connection


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
    await connection.arrival(Departure(loop), loop.time() + 10)
    return connection


def test_a_long_body_right_behind_the_head_is_no_long_head() -> None:
    """What counts against the bound is the head alone, however much arrives with it."""
    body = b"x" * (2 * HEADER_LIMIT_BYTES)
    head = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def read() -> bytes:
        connection = await _arrived(head + body)
        return await connection.read(Departure(asyncio.get_running_loop()), 1e9)

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

"""A house for connections: a clock that tests advance, sockets that note what is written, a guest book."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tristar.edge.connection import Connection
from tristar.edge.envelope import body_of, headers_of
from tristar.edge.turn import Turn
from tristar.errors import GatewayError
from tristar.relay.departure import Wheel

Serve = Callable[[Turn], Awaitable[None]]


class Socket(asyncio.Transport):
    """The client's end: what it was sent, and how the connection ended."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reading = True
        self.shut = False
        self.closed = False
        self.aborted = False

    def has_ended(self) -> bool:
        """Whether nothing more is sent."""
        return self.shut or self.closed

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Addresses, as a TCP socket has them."""
        return {"peername": ("192.0.2.7", 4711), "sockname": ("127.0.0.1", 9100)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Noted, unless it is too late."""
        if not self.closed:
            self.sent += bytes(data)

    def pause_reading(self) -> None:
        """Noted."""
        self.reading = False

    def resume_reading(self) -> None:
        """Noted."""
        self.reading = True

    def can_write_eof(self) -> bool:
        """As TCP can."""
        return True

    def write_eof(self) -> None:
        """Noted."""
        self.shut = True

    def close(self) -> None:
        """Noted."""
        self.closed = True

    def abort(self) -> None:
        """Noted."""
        self.closed = self.aborted = True


@dataclass
class House:
    """See `edge.connection.House`; `met` has each request as it was served."""

    serve: Serve
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    connections: set[Connection] = field(default_factory=set)
    now: int = 1_000
    date: bytes = b"date: now\r\n"
    draining: bool = False
    wheel: Wheel = field(default_factory=lambda: Wheel(asyncio.get_running_loop()))

    def join(self, connection: Connection) -> None:
        """See `House.join`."""
        self.connections.add(connection)

    def leave(self, connection: Connection) -> None:
        """See `House.leave`."""
        self.connections.discard(connection)

    def visitor(self) -> tuple[Connection, Socket]:
        """A new connection and its other end."""
        connection, socket = Connection(self), Socket()
        connection.connection_made(socket)
        return connection, socket

    def pass_time(self, seconds: int) -> None:
        """So many seconds go by without a sound."""
        self.now += seconds
        for connection in list(self.connections):
            connection.look()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def echo(turn: Turn) -> None:
    """Answers with method, path and body; with what is wrong with the body, as the front does."""
    try:
        body = await turn.body(None, 1 << 20)
    except GatewayError as error:
        await turn.whole(error.status, headers_of(error), body_of(error))
        return
    await turn.whole(200, [], f"{turn.method} {turn.path} ".encode() + body)

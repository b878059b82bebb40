"""Our own HTTP/1.1 server: it accepts, keeps the time for its connections, and drains them."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from tristar.edge.connection import Connection
from tristar.edge.tls import HANDSHAKE_LIMIT_S
from tristar.edge.turn import Turn
from tristar.relay.departure import Wheel

TICK_S = 1.0
POLL_S = 0.02
INTERRUPT_S = 3.0


class Server:
    """Serves connections of one listening socket. Event-loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, serve: Callable[[Turn], Awaitable[None]]) -> None:
        self.loop = loop
        self.wheel = Wheel(loop)
        self.serve = serve
        self.connections: set[Connection] = set()
        self.now = 0
        self.date = b""
        self.draining = False
        self._listening: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, listener: socket.socket, backlog: int, tls: ssl.SSLContext | None = None) -> None:
        """Accept from now on; over TLS if there is a context for it."""
        self._tick()
        self._listening = await self.loop.create_server(
            lambda: Connection(self),
            sock=listener,
            backlog=backlog,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else HANDSHAKE_LIMIT_S,
        )

    async def drain(self, within_s: float) -> None:
        """Accept no more, let what is in progress finish, and after `within_s` interrupt it.

        What is interrupted still tells its client and enters its record.
        """
        self.draining = True
        if self._listening is not None:
            self._listening.close()
        for connection in list(self.connections):
            connection.retire()
        await self._emptied(within_s)
        for connection in list(self.connections):
            if connection.task is not None:
                connection.task.cancel()
        await self._emptied(INTERRUPT_S)
        for connection in list(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()

    async def _emptied(self, within_s: float) -> None:
        until = self.loop.time() + within_s
        while self.connections and self.loop.time() < until:  # noqa: ASYNC110 - once, at the end of a process
            await asyncio.sleep(POLL_S)

    def _tick(self) -> None:
        self._timer = self.loop.call_later(TICK_S, self._tick)
        self.now = int(self.loop.time())
        self.date = f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()
        for connection in list(self.connections):
            connection.look()

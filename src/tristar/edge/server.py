"""Our own HTTP/1.1 server: it accepts, keeps the time for its connections, and drains them."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import partial
from typing import Any

from tristar.edge.connection import Connection
from tristar.edge.tally import Place
from tristar.edge.tls import HANDSHAKE_LIMIT_S
from tristar.edge.turn import Turn
from tristar.edge.turnstile import Turnstile
from tristar.relay.departure import Wheel

TICK_S = 1.0
POLL_S = 0.02
INTERRUPT_S = 3.0


class Server:
    """Serves connections of one listening socket. Event-loop thread only.

    `place` is this worker's among those that share the socket; None: it is the only one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Turn], Awaitable[None]],
        place: Place | None = None,
    ) -> None:
        self.loop = loop
        self._place = place
        self.wheel = Wheel(loop)
        self.serve = serve
        self.connections: set[Connection] = set()
        self.now = 0
        self.date = b""
        self.draining = False
        self._listening: asyncio.Server | Turnstile | None = None
        self._opening: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self, listener: socket.socket, backlog: int, tls: ssl.SSLContext | None = None) -> None:
        """Accept from now on; over TLS if there is a context for it."""
        self._tick()
        if self._place is not None:
            self._tell()
            self._listening = Turnstile(self.loop, listener, self._place, partial(self._admit, tls))
            self._listening.open()
            return
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

    def join(self, connection: Connection) -> None:
        """It is open."""
        self.connections.add(connection)
        if self._place is not None:
            self._tell()

    def leave(self, connection: Connection) -> None:
        """It is closed, and its last request has ended."""
        self.connections.discard(connection)
        if self._place is not None:
            self._tell()

    def _tell(self) -> None:
        if self._place is not None and not self.draining:
            self._place.tally.set(self._place.number, len(self.connections) + len(self._opening))

    def _admit(self, tls: ssl.SSLContext | None, taken: socket.socket) -> None:
        opening = self.loop.create_task(self._open(tls, taken))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        self._tell()

    async def _open(self, tls: ssl.SSLContext | None, taken: socket.socket) -> None:
        taken.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with contextlib.suppress(OSError):  # gone already, or no TLS that can be understood
            await self.loop.connect_accepted_socket(
                lambda: Connection(self),
                taken,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HANDSHAKE_LIMIT_S,
            )

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

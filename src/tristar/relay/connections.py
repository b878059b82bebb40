"""The kept connections to one origin, and how a new one is made."""

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit
from weakref import WeakSet

from tristar.errors import UpstreamTimedOut, UpstreamUnreachable
from tristar.relay.departure import Departure
from tristar.relay.transport import Connection

CONNECT_TIMEOUT_S = 10.0
IDLE_LIMIT_S = 55.0


@dataclass(frozen=True)
class Origin:
    """Where an upstream listens, taken from its base URL."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def of(cls, base_url: str) -> "Origin":
        """Split a base URL that settings have validated."""
        parts = urlsplit(base_url)
        tls = parts.scheme == "https"
        return cls(
            host=parts.hostname or "localhost",
            port=parts.port or (443 if tls else 80),
            tls=tls,
            path=parts.path.rstrip("/"),
        )

    @property
    def authority(self) -> str:
        """The Host header: default ports are left out, IPv6 is bracketed."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class Pool:
    """Connections to one origin: the most recently used is lent first, old ones are closed.

    There is no upper bound on open connections: limits belong to the llm, where a refusal
    can be counted and explained.
    """

    def __init__(self, origin: Origin, loop: asyncio.AbstractEventLoop, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._loop = loop
        self._tls = tls if origin.tls else None
        self._idle: list[Connection] = []
        self._all: WeakSet[Connection] = WeakSet()
        self._closing = False
        self._host_header = f"Host: {origin.authority}\r\nContent-Length: ".encode()

    async def send(
        self, head: bytes, body: bytes, departure: Departure, deadline: float, *, fresh: bool = False
    ) -> Connection:
        """See `Upstream.send`."""
        kept = None if fresh else self._reuse()
        connection = kept or await self._connect(departure, deadline)
        connection.lend()
        length = str(len(body)).encode()
        connection.write(b"".join((head, self._host_header, length, b"\r\n\r\n", body)))
        try:
            await connection.arrival(departure, deadline)
        except TimeoutError as error:
            connection.abort()
            raise UpstreamTimedOut("The upstream sent no answer in time.") from error
        except BaseException:
            connection.abort()
            raise
        return connection

    async def close(self) -> None:
        """See `Upstream.close`."""
        self._closing = True
        self._idle.clear()
        for connection in list(self._all):
            connection.abort()

    def _reuse(self) -> Connection | None:
        oldest_usable = self._loop.time() - IDLE_LIMIT_S
        while self._idle:
            connection = self._idle.pop()
            if connection.closed:
                continue
            if connection.idle_since > oldest_usable:
                connection.used = True
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection) -> None:
        if self._closing:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        # The pool is a stack: what lies at its bottom has been idle longest.
        bottom = self._idle[0]
        if bottom.closed or bottom.idle_since < connection.idle_since - IDLE_LIMIT_S:
            bottom.abort()
            del self._idle[0]

    async def _connect(self, departure: Departure, deadline: float) -> Connection:
        try:
            return await self._opened(departure, min(deadline, self._loop.time() + CONNECT_TIMEOUT_S))
        except TimeoutError as error:
            raise UpstreamUnreachable("The upstream did not accept a connection in time.") from error
        except ssl.SSLError as error:
            reason = error.reason or "no reason given"
            raise UpstreamUnreachable(f"TLS with the upstream failed: {reason}.") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UpstreamUnreachable(f"The upstream cannot be reached: {reason}.") from error

    async def _opened(self, departure: Departure, deadline: float) -> Connection:
        opening = self._loop.create_task(self._open())
        arrived: asyncio.Future[None] = self._loop.create_future()
        opening.add_done_callback(lambda _: None if arrived.done() else arrived.set_result(None))
        try:
            await departure.wait(arrived, deadline)
        except BaseException:
            opening.cancel()
            opening.add_done_callback(_give_up)
            raise
        return await opening

    async def _open(self) -> Connection:
        """To the first of the origin's addresses that accepts.

        The name is resolved apart: uvloop's `create_connection`, cancelled while it resolves, leaves the
        resolver's error to nobody.
        """
        host, port = self._origin.host, self._origin.port
        failure = OSError(errno.EADDRNOTAVAIL, "its name has no address")
        for *_, place in await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return await self._open_at(str(place[0]))
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure

    async def _open_at(self, address: str) -> Connection:
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._loop, self._keep),
            address,
            self._origin.port,
            ssl=self._tls,
            server_hostname=self._origin.host if self._tls else None,
        )
        self._all.add(connection)
        return connection


def _give_up(opening: "asyncio.Task[Connection]") -> None:
    """Nobody waits any more for this connection, nor for the reason why there is none."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()

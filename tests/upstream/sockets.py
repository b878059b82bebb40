"""Addresses where nobody answers: a port that refuses, and one that swallows."""

import socket
from types import TracebackType
from typing import Self


class ClosedPort:
    """A port of this machine that refuses every connection for as long as this is open.

    It is bound but does not listen, so that nobody else can take it meanwhile.
    """

    def __init__(self, port: int = 0) -> None:
        self.socket = bound_socket(port)
        self.port: int = self.socket.getsockname()[1]

    @property
    def base_url(self) -> str:
        """For a provider's configuration."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


class BlackHole(ClosedPort):
    """A port that lets connections neither in nor away: its queue is full, so connecting hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.socket.listen(0)
        self._fillers = [self._filler() for _ in range(4)]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for filler in self._fillers:
            filler.close()
        super().__exit__(kind, error, trace)

    def _filler(self) -> socket.socket:
        filler = socket.socket()
        filler.settimeout(0)
        filler.connect_ex(("127.0.0.1", self.port))
        return filler


def bound_socket(port: int) -> socket.socket:
    """A TCP socket of the loopback address, bound and not listening; 0 takes a free port."""
    # asyncio sets TCP_NODELAY only on sockets that name their protocol.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock

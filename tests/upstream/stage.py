"""One call on its connection: everything a step may do to it."""

import asyncio
import socket
import struct
import time
from typing import Protocol

from tests.upstream.gate import Gate
from tests.upstream.journal import Call, Journal


class Line(Protocol):
    """The connection under a call, as `server.Peer` gives it."""

    transport: asyncio.Transport
    close_on_next: bool

    async def drained(self) -> None:
        """Return once the kernel has room for more."""
        ...


class Stage:
    """What a step acts on; the task that plays it is cancelled when the client leaves."""

    def __init__(self, call: Call, line: Line, journal: Journal) -> None:
        self.call = call
        self._line = line
        self._journal = journal

    async def send(self, data: bytes) -> None:
        """Hand bytes to the kernel, as a segment of their own; waits while the client does not read."""
        if self._line.transport.is_closing():
            await self.hang()
        self._line.transport.write(data)
        await asyncio.sleep(0)
        await self._line.drained()
        self.call.bytes_sent += len(data)

    def answered(self, status: int) -> None:
        """Note that an answer with this status has begun."""
        self.call.status = status
        self._journal.note()

    def event_sent(self) -> None:
        """Note one more server-sent event."""
        self.call.events_sent += 1
        self._journal.note()

    def finished(self) -> None:
        """Note that this step did all it was meant to do."""
        self.call.finished_s = time.monotonic()
        self._journal.note()

    def narrow(self, send_buffer_bytes: int) -> None:
        """Shrink the buffers on our side of the connection, so that backpressure is felt early."""
        sock = self._line.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self._line.transport.set_write_buffer_limits(high=send_buffer_bytes)

    async def pause(self, seconds: float) -> None:
        """Wait; 0 gives way to the loop once."""
        await asyncio.sleep(seconds)

    async def passage(self, gate: Gate) -> None:
        """Wait until the test opens the gate."""
        await gate.passage()

    async def hang(self) -> None:
        """Stay silent, connection open, until the client leaves."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """End the connection in order (FIN)."""
        self._line.transport.close()

    def half_close(self) -> None:
        """End our sending half; go on reading."""
        self._line.transport.write_eof()

    def reset(self) -> None:
        """End the connection with RST; what is still unsent is lost."""
        sock = self._line.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._line.transport.abort()

    def close_on_next(self) -> None:
        """Close without a word when the next request arrives: the keep-alive race."""
        self._line.close_on_next = True

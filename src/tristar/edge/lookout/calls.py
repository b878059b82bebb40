"""Calls as server-sent events: the host is asked twice a second while somebody looks on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import msgspec

from tristar.auth.actor import Actor
from tristar.errors import GatewayError, Unavailable

EVERY_S: Final = 0.5
QUIET_S: Final = 15.0
"""After so long without an event a comment tells that the stream lives."""

SHOWN: Final = 100
MOST_VIEWERS: Final = 32

Look = Callable[[str, int, int], Awaitable[bytes]]


class _Seen(msgspec.Struct):
    """What is read of a view, which is passed on as it is."""

    next_after: int
    data: list[msgspec.Raw]
    in_progress: list[msgspec.Raw]


class Viewers:
    """Those who look on, in one process: each costs it a little, so `MOST_VIEWERS` are the most."""

    def __init__(self) -> None:
        self._count = 0

    def seat(self) -> contextlib.AbstractContextManager[None]:
        """A place to look from, taken when it is entered.

        Raises:
            Unavailable: all are taken.
        """
        if self._count >= MOST_VIEWERS:
            raise Unavailable(f"{MOST_VIEWERS} viewers look on already; close one.", retry_after_s=10)
        return self._seat()

    @contextlib.contextmanager
    def _seat(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


class Feed:
    """One viewer's stream. `recheck` raises once the viewer's key is good no more."""

    def __init__(self, look: Look, recheck: Callable[[], Actor], is_draining: Callable[[], bool]) -> None:
        self._look = look
        self._recheck = recheck
        self._is_draining = is_draining
        self._decoder = msgspec.json.Decoder(_Seen)

    async def events(self, after: int) -> AsyncIterator[bytes]:
        """The first at once, later ones when something began or ended; ends when the gateway drains."""
        loop = asyncio.get_running_loop()
        running: list[msgspec.Raw] | None = None
        told_at = loop.time()
        while not self._is_draining():
            try:
                if not self._recheck().allows("admin"):
                    break
                body = await self._look("calls", after, SHOWN)
            except GatewayError as error:
                yield b"event: end\ndata: %b\n\n" % msgspec.json.encode({"reason": error.message})
                return
            seen = self._decoder.decode(body)
            if seen.data or seen.in_progress != running:
                after, running, told_at = seen.next_after, seen.in_progress, loop.time()
                yield b"event: calls\nid: %d\ndata: %b\n\n" % (after, body)
            elif loop.time() - told_at >= QUIET_S:
                told_at = loop.time()
                yield b": quiet\n\n"
            await asyncio.sleep(EVERY_S)
        yield b'event: end\ndata: {"reason":"The gateway shuts down, or the key has changed."}\n\n'

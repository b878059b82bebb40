"""The client's presence: one object per request that interrupts whatever waits when the client leaves."""

import asyncio


class ClientGone(Exception):
    """The client closed its connection; nothing more can be sent to it."""


class Departure:
    """Notes that the client has gone and wakes the one thing that the request is waiting for.

    Event-loop thread only. A request waits for one thing at a time, so there is one waiter.
    """

    __slots__ = ("_loop", "_waiter", "gone")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self.gone = False

    def announce(self) -> None:
        """The client has gone; call at most once meaningfully, again is harmless."""
        self.gone = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ClientGone())

    async def wait(self, waiter: "asyncio.Future[None]", deadline: float) -> None:
        """Wait for `waiter` until the loop time `deadline`.

        Raises:
            TimeoutError: the deadline passed first.
            ClientGone: the client left first.
        """
        if self.gone:
            raise ClientGone
        timer = self._loop.call_at(deadline, expire, waiter)
        self._waiter = waiter
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long, unless the client leaves.

        Raises:
            ClientGone: the client left.
        """
        try:
            await self.wait(self._loop.create_future(), self._loop.time() + seconds)
        except TimeoutError:
            return


def expire(waiter: "asyncio.Future[None]") -> None:
    """Fail a waiter that is still waiting with `TimeoutError`."""
    if not waiter.done():
        waiter.set_exception(TimeoutError())

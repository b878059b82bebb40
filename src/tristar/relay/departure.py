"""The client's presence: one object per request that interrupts whatever waits when the client leaves."""

import asyncio


class ClientGone(Exception):
    """The client closed its connection; nothing more can be sent to it."""


TICK_S = 0.1


class Wheel:
    """Deadlines that are far off: looked at ten times a second, with one timer for all of them.

    A wait costs an entry in a dictionary here, against a timer made, started, stopped and closed. Who comes
    near gets a timer of its own, so that every deadline is kept to the millisecond. Event-loop thread only.
    """

    __slots__ = ("_due", "_loop", "_turning")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[asyncio.Future[None], float] = {}
        self._turning = False

    def watch(self, waiter: "asyncio.Future[None]", deadline: float) -> None:
        """Fail `waiter` with `TimeoutError` at the loop time `deadline`, unless it is done or forgotten."""
        if deadline - self._loop.time() < 2 * TICK_S:
            self._loop.call_at(deadline, expire, waiter)
            return
        self._due[waiter] = deadline
        if not self._turning:
            self._turning = True
            self._loop.call_later(TICK_S, self._turn)

    def forget(self, waiter: "asyncio.Future[None]") -> None:
        """It does not wait any more."""
        self._due.pop(waiter, None)

    def _turn(self) -> None:
        near = self._loop.time() + 2 * TICK_S
        for waiter, deadline in [each for each in self._due.items() if each[1] < near]:
            del self._due[waiter]
            self._loop.call_at(deadline, expire, waiter)
        self._turning = bool(self._due)
        if self._turning:
            self._loop.call_later(TICK_S, self._turn)


class Departure:
    """Notes that the client has gone and wakes the one thing that the request is waiting for.

    Event-loop thread only. A request waits for one thing at a time, so there is one waiter. Requests share
    a `wheel` where there is one.
    """

    __slots__ = ("_children", "_loop", "_waiter", "_wheel", "gone")

    def __init__(self, loop: asyncio.AbstractEventLoop, wheel: Wheel | None = None) -> None:
        self._loop = loop
        self._wheel = wheel or Wheel(loop)
        self._waiter: asyncio.Future[None] | None = None
        self._children: list[Departure] = []
        self.gone = False

    def announce(self) -> None:
        """The client has gone; call at most once meaningfully, again is harmless."""
        self.gone = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ClientGone())
        for child in self._children:
            child.announce()

    def child(self) -> "Departure":
        """The same client's departure for one of several things that a request waits for at once."""
        child = Departure(self._loop, self._wheel)
        child.gone = self.gone
        self._children.append(child)
        return child

    async def wait(self, waiter: "asyncio.Future[None]", deadline: float) -> None:
        """Wait for `waiter` until the loop time `deadline`.

        Raises:
            TimeoutError: the deadline passed first.
            ClientGone: the client left first.
        """
        if self.gone:
            raise ClientGone
        self._wheel.watch(waiter, deadline)
        self._waiter = waiter
        try:
            await waiter
        finally:
            self._wheel.forget(waiter)
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

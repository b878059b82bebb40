"""The client's presence: one object per request that interrupts whatever waits when the client leaves."""

import asyncio
from math import inf

import msgspec


class ClientGone(Exception):
    """The client closed its connection; nothing more can be sent to it."""


TICK_S = 0.1


class Wheel:
    """Deadlines that are far off: looked at ten times a second, with one timer for all of them.

    A wait costs an entry in a dictionary here, against a timer made, started, stopped and closed. Who comes
    near gets a timer of its own, so that every deadline is kept to the millisecond. Event-loop thread only.
    """

    __slots__ = ("_loop", "_turning", "due", "far")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turning = False
        self.due: dict[asyncio.Future[None], float] = {}
        """Who waits, and until which loop time; whoever does not wait any more is taken out."""
        self.far = inf
        """A deadline from here on may be entered in `due` as it is: the next turn still finds it in time."""

    def watch(self, waiter: "asyncio.Future[None]", deadline: float) -> None:
        """Fail `waiter` with `TimeoutError` at the loop time `deadline`, unless it is done or forgotten."""
        now = self._loop.time()
        if deadline - now < 2 * TICK_S:
            self._loop.call_at(deadline, expire, waiter)
            return
        self.due[waiter] = deadline
        if not self._turning:
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        self._turning, self.far = True, now + 3 * TICK_S
        self._loop.call_later(TICK_S, self._turn)

    def _turn(self) -> None:
        now = self._loop.time()
        near = now + 2 * TICK_S
        for waiter, deadline in [each for each in self.due.items() if each[1] < near]:
            del self.due[waiter]
            self._loop.call_at(deadline, expire, waiter)
        self._turning, self.far = False, inf
        if self.due:
            self._go_on(now)


class Departure(msgspec.Struct, eq=False):
    """Notes that the client has gone and wakes the one thing that the request is waiting for.

    Event-loop thread only. A request waits for one thing at a time, so there is one waiter. Requests share
    a `wheel`.
    """

    loop: asyncio.AbstractEventLoop
    wheel: Wheel
    gone: bool = False
    _waiter: "asyncio.Future[None] | None" = None
    _children: "tuple[Departure, ...]" = ()

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
        child = Departure(self.loop, self.wheel, self.gone)
        self._children += (child,)
        return child

    async def wait(self, waiter: "asyncio.Future[None]", deadline: float) -> None:
        """Wait for `waiter` until the loop time `deadline`.

        Raises:
            TimeoutError: the deadline passed first.
            ClientGone: the client left first.
        """
        if self.gone:
            raise ClientGone
        wheel = self.wheel
        if deadline >= wheel.far:
            wheel.due[waiter] = deadline
        else:
            wheel.watch(waiter, deadline)
        self._waiter = waiter
        try:
            await waiter
        finally:
            wheel.due.pop(waiter, None)
            self._waiter = None

    async def pause(self, seconds: float) -> None:
        """Do nothing for so long, unless the client leaves.

        Raises:
            ClientGone: the client left.
        """
        try:
            await self.wait(self.loop.create_future(), self.loop.time() + seconds)
        except TimeoutError:
            return


def expire(waiter: "asyncio.Future[None]") -> None:
    """Fail a waiter that is still waiting with `TimeoutError`."""
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def apart(loop: asyncio.AbstractEventLoop) -> Departure:
    """The departure of a request that shares its wheel with no other."""
    return Departure(loop, Wheel(loop))

"""Holding an upstream's answer until the test lets it go, across threads and without sleeps."""

import asyncio
import threading


class Gate:
    """A door in an answer: the upstream waits before it, the test opens it.

    Opened once it stays open. `release` and `wait_reached` may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._reached = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def release(self) -> None:
        """Let everyone through who waits now or comes later."""
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def wait_reached(self, timeout_s: float = 10.0) -> None:
        """Return once an answer stands before the gate.

        Raises:
            TimeoutError: none came within `timeout_s`.
        """
        if not self._reached.wait(timeout_s):
            raise TimeoutError(f"no answer reached the gate within {timeout_s} s")

    async def reached(self, timeout_s: float = 10.0) -> None:
        """`wait_reached` for a test that runs on an event loop."""
        await asyncio.to_thread(self.wait_reached, timeout_s)

    async def passage(self) -> None:
        """The upstream's side: wait until the gate is open."""
        event = asyncio.Event()
        with self._lock:
            opened = self._open
            if not opened:
                self._waiting.append((asyncio.get_running_loop(), event))
        self._reached.set()
        if not opened:
            await event.wait()

"""Takes connections off a listening socket that several workers share, so that each has about as many.

Left to itself, an event loop takes all that wait at once: of sixteen clients that come together the worker
that wakes first gets sixteen, and keeps them, while the others have nothing to do.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import structlog

from tristar.edge.tally import Place

TAKEN_AT_ONCE: Final = 8
PATIENCE: Final = 20
"""So many turns of the loop a worker that has more leaves a connection to one that has fewer."""

FAR: Final = 64
"""Who is so far behind does not take any: nobody waits for it."""

FULL_S: Final = 1.0
"""Where the process has no descriptor left, it looks again after this."""

_log = structlog.get_logger("tristar.edge")


class Turnstile:
    """One per worker. Event-loop thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        place: Place,
        admit: Callable[[socket.socket], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._place = place
        self._admit = admit
        self._left = 0
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take connections from now on."""
        self._pause = None
        self._loop.add_reader(self._listener, self._look)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._listener)
        self._place.tally.leave(self._place.number)
        if self._pause is not None:
            self._pause.cancel()

    def _look(self) -> None:
        """Called in every turn of the loop while a connection waits."""
        for _ in range(TAKEN_AT_ONCE):
            if 0 < self._lead() <= FAR and self._left < PATIENCE:
                self._left += 1
                return
            self._left = 0
            if not self._take():
                return

    def _lead(self) -> int:
        return self._place.tally.lead(self._place.number)

    def _take(self) -> bool:
        """Admit one connection; whether there may be another."""
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another worker was faster, or the client is gone again
        except OSError as error:
            _log.error("no connection can be accepted; raise the limit of open files", reason=error.strerror)
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(FULL_S, self.open)
            return False
        self._admit(taken)
        return True

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
PATIENCE_S: Final = 0.005
"""So long a worker that has more leaves a connection to one that has fewer: a busy machine wakes it late."""

ALERT_S: Final = 0.0002
"""So long it looks in every turn of the loop whether it was taken; then every `REST_S`."""

REST_S: Final = 0.001

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
        self._left_at = self._looked_at = 0.0
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
            if 0 < self._place.tally.lead(self._place.number) <= FAR and self._leaves():
                return
            self._left_at = self._looked_at = 0.0
            if not self._take():
                return

    def _leaves(self) -> bool:
        """Whether the connection that waits is still another one's to take."""
        now = self._loop.time()
        if now - self._looked_at > PATIENCE_S:  # it is not the one that was left before: that was taken
            self._left_at = now
        self._looked_at = now
        left_s = now - self._left_at
        if left_s >= PATIENCE_S:
            return False
        if left_s >= ALERT_S:
            self._rest(REST_S)
        return True

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, self.open)

    def _take(self) -> bool:
        """Admit one connection; whether there may be another."""
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # another worker was faster, or the client is gone again
        except OSError as error:
            _log.error("no connection can be accepted; raise the limit of open files", reason=error.strerror)
            self._rest(FULL_S)
            return False
        self._admit(taken)
        return True

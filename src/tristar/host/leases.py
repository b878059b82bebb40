"""What the limiter gave to one worker, and takes back when the worker is gone."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from tristar.host.frames import Reserve, Ruling
from tristar.limits.allowance import Amount
from tristar.limits.limiter import NOT_MADE, Limiter, Reservation
from tristar.limits.usage import Refusal, Standings

_log = structlog.get_logger("tristar.host")


class Leases:
    """One worker's reservations, by the number of the question that asked for each. Loop thread only."""

    def __init__(
        self, limiter: Limiter, loop: asyncio.AbstractEventLoop, answer: Callable[[Ruling], None]
    ) -> None:
        self._limiter = limiter
        self._loop = loop
        self._answer = answer
        self._held: dict[int, Reservation] = {}
        self._asking: dict[int, asyncio.Task[Reservation | Refusal]] = {}

    def __len__(self) -> int:
        """Reservations that the worker has, or waits for."""
        return len(self._held) + len(self._asking)

    def reserve(self, asked: Reserve) -> None:
        """Answer at once where that is possible, else as soon as the limiter knows."""
        verdict = self._limiter.reserve_now(asked.subjects, asked.need, asked.lease_s)
        if verdict is not None:
            self._rule(asked.n, verdict)
            return
        task = self._loop.create_task(self._limiter.reserve(asked.subjects, asked.need, asked.lease_s))
        self._asking[asked.n] = task
        task.add_done_callback(partial(self._reserved, asked.n))

    def settle(self, n: int, actual: Amount | None) -> None:
        """Charge what was taken."""
        reservation = self._held.pop(n, None)
        if reservation is not None:
            self._limiter.settle(reservation, actual)

    def abandon(self, n: int) -> None:
        """Give back what nobody waits for."""
        asking = self._asking.pop(n, None)
        if asking is not None:
            asking.cancel()
        self.settle(n, NOT_MADE)

    def end(self) -> None:
        """The worker is gone: its leases are free, its estimates stand."""
        for n in list(self._asking):
            self.abandon(n)
        for n in list(self._held):
            self.settle(n, None)

    def _reserved(self, n: int, task: "asyncio.Task[Reservation | Refusal]") -> None:
        waited_for = self._asking.pop(n, None) is not None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("limits cannot be checked", error=repr(error))
            self._answer(Ruling(n, None, Standings(), known=False))
            return
        self._rule(n, task.result())
        if not waited_for:
            self.settle(n, NOT_MADE)

    def _rule(self, n: int, verdict: Reservation | Refusal) -> None:
        if isinstance(verdict, Refusal):
            self._answer(Ruling(n, verdict, verdict.standings))
            return
        self._held[n] = verdict
        self._answer(Ruling(n, None, verdict.standings))

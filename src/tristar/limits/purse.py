"""Budgets that outlive their process: what is spent goes on to a store, and comes back at a start."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from tristar.clock import Clock
from tristar.errors import Unavailable
from tristar.limits.allowance import Amount, Subject
from tristar.limits.calendar import DAY_S, month_of
from tristar.limits.limiter import Readable, Reservation, charge
from tristar.limits.local import LocalLimiter
from tristar.limits.store import Spending
from tristar.limits.usage import Refusal
from tristar.limits.use import Use, use

MET = 1_000
"""So many subjects are remembered to be looked at: those met last."""

SAVE_S = 1.0
"""How much of what was spent a process that is killed may take with it."""

Row = tuple[str, int, int, int, int]

_log = structlog.get_logger("tristar.limits")


class Book(Protocol):
    """Where sums are kept: rows of name, day, spent in it, month, spent in it. Raises `Unavailable`."""

    async def read(self, month: int) -> Sequence[Row]:
        """Everything spent in that month."""
        ...

    async def add(self, owed: Sequence[Row]) -> Sequence[Row]:
        """Add these amounts; the sums that they lead to."""
        ...


class Purse:
    """See `Limiter`: the one that it is given, whose settlements are also written down. Loop thread only.

    What is settled is durable `SAVE_S` later, or once `close` returns. While the book is away the
    amounts wait for it. `own` learns what the book says, so that it goes on from there: hosts that
    share a book, and no Redis, learn of each other's spending with the same delay.
    """

    def __init__(self, limiter: Readable, own: LocalLimiter, book: Book, clock: Clock) -> None:
        self._limiter = limiter
        self._own = own
        self._book = book
        self._clock = clock
        self._owed: dict[tuple[str, int], int] = {}
        self._read = False
        self._met: dict[str, Subject] = {}

    def reserve_now(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal | None:
        """See `Limiter.reserve_now`."""
        self._meet(subjects)
        return self._limiter.reserve_now(subjects, need, lease_s)

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """See `Limiter.reserve`."""
        self._meet(subjects)
        return await self._limiter.reserve(subjects, need, lease_s)

    def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Limiter.settle`."""
        if not reservation.settled and (
            reservation.need.cost_microusd or (actual is not None and actual.cost_microusd)
        ):
            _, microusd = charge(reservation, actual)
            if microusd:
                self._note(reservation, microusd)
        self._limiter.settle(reservation, actual)

    async def uses(self, others: Sequence[Subject] = ()) -> Sequence[Use]:
        """The use of each subject that this host has met, and of `others`; the nearest to a limit first.

        Raises:
            Unavailable: it cannot be known.
        """
        subjects = list(({one.name: one for one in others} | self._met).values())
        usages = await self._limiter.usages(subjects)
        uses = [use(subject, usage) for subject, usage in zip(subjects, usages, strict=True)]
        return sorted(uses, key=lambda one: (-one.share, one.subject))

    async def open(self) -> None:
        """Go on from what was spent before. A book that is away keeps nobody from starting."""
        try:
            rows = await self._book.read(month_of(self._today()))
        except Unavailable as error:
            _log.warning("what was spent of budgets cannot be read yet", reason=str(error))
            return
        self._own.restore([Spending(*row) for row in rows])
        self._read = True

    async def save(self) -> None:
        """Write down what was spent since the last time; what cannot be written now waits."""
        if not self._read:
            await self.open()
        if not self._owed:
            return
        owed, self._owed = self._owed, {}
        rows = [(name, day, spent, month_of(day), spent) for (name, day), spent in owed.items()]
        try:
            sums = await self._book.add(rows)
        except Unavailable:
            for each, spent in owed.items():
                self._owed[each] = self._owed.get(each, 0) + spent
            return
        self._own.restore([Spending(*row) for row in sums])

    async def save_forever(self) -> None:
        """`save` every `SAVE_S`, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_S)
            await asyncio.shield(self.save())

    def _meet(self, subjects: Sequence[Subject]) -> None:
        met = self._met
        for subject in subjects:
            name = subject.name
            if met.get(name) is not subject:
                if name not in met and len(met) >= MET:
                    del met[next(iter(met))]
                met[name] = subject

    def _note(self, reservation: Reservation, microusd: int) -> None:
        day = self._today()
        for subject in reservation.subjects:
            if not subject.allowance.has_budget:
                continue
            each = subject.name, day
            self._owed[each] = self._owed.get(each, 0) + microusd
            if reservation.shared:  # what the store was told this host should know without it, too
                self._own.spend(subject.name, microusd)

    def _today(self) -> int:
        return int(self._clock.time() // DAY_S)

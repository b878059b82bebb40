"""The limiter over a store that replicas share, and over this host's own while that store is away."""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from tristar.errors import Unavailable
from tristar.limits.allowance import Amount, Subject
from tristar.limits.limiter import FREE, NOT_MADE, Readable, Reservation
from tristar.limits.store import Spending, Store, Verdict
from tristar.limits.usage import Refusal, Standings, Usage, unpriced
from tristar.sharing import StoreUnavailable

DEADLINE_S = 0.05
PROBE_S = 1.0
OPEN_S = 1.0
BACKLOG = 10_000
KNOWN = 10_000
LOOK = 50
"""Subjects in one look: the store serves nobody else meanwhile."""

TURNS = 3
"""Turns of the loop after the deadline: one that was itself held up finds an answer that had come in time."""

T = TypeVar("T")


class Host(Readable, Protocol):
    """This host's own limiter."""

    def restore(self, spendings: Iterable[Spending]) -> None:
        """Take at least this as spent."""
        ...


class SharedLimiter:
    """See `Limiter`. Exact over all replicas while the store answers; none waits for it over `deadline_s`.

    At the first failure it turns to `host`, or, without one, refuses with 503; nobody asks the store
    again until a probe, every `probe_s`, finds it well. `told` hears of each turn once: the reason,
    or "" for well again. Settlements that the store missed, and reservations of which it is not
    known whether it made them, are settled before it is used again (the latest `BACKLOG` of them).

    What H hosts may exceed a limit N by, while the store is away: each admits up to its own N, so
    H * N. Each turn, either way, begins afresh: once more N per host, a burst and as many leases.
    Budgets go on from what this host last heard from the store (`KNOWN` subjects); what is spent
    while the store is away is not added to the shared budget.
    """

    def __init__(
        self,
        store: Store,
        host: Host | None,
        told: Callable[[str], None],
        *,
        deadline_s: float = DEADLINE_S,
        probe_s: float = PROBE_S,
        open_s: float = OPEN_S,
    ) -> None:
        self._store = store
        self._host = host
        self._told = told
        self._deadline_s = deadline_s
        self._probe_s = probe_s
        self._open_s = open_s
        self._unwell = "not connected yet"
        self._own = secrets.token_hex(6)
        self._ids = itertools.count(1)
        self._backlog: deque[tuple[Reservation, Amount | None]] = deque(maxlen=BACKLOG)
        self._known: dict[str, Spending] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._recovery: asyncio.Task[None] | None = None

    @property
    def unwell(self) -> str:
        """Why the store is not used now; empty when it is."""
        return self._unwell

    async def open(self) -> None:
        """Connect; a store that is away does not keep anyone from starting."""
        try:
            async with asyncio.timeout(self._open_s):
                await self._store.open()
        except (StoreUnavailable, TimeoutError) as error:
            self._unwell = ""
            self.turn_away(str(error) or f"no connection within {self._open_s:g} s")
        else:
            self._unwell = ""

    async def close(self) -> None:
        """Let settlements under way end, at most their deadline; then hang up."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.wait({self._recovery})
        try:
            async with asyncio.timeout(self._open_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._store.close()
        except (StoreUnavailable, TimeoutError):
            return  # it is gone, and so are we

    def reserve_now(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal | None:
        """See `Limiter.reserve_now`."""
        if not subjects:
            return FREE
        if need.cost_microusd is None and (refused := unpriced(subjects, need)) is not None:
            return refused
        if self._unwell and self._host is not None:
            return self._host.reserve_now(subjects, need, lease_s)
        return None

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """See `Limiter.reserve`."""
        known = self.reserve_now(subjects, need, lease_s)
        if known is not None:
            return known
        if self._unwell:
            return await self._without(subjects, need, lease_s)
        id_ = f"{self._own}.{next(self._ids)}"
        reservation = Reservation(id_, subjects, need, Standings(), shared=True)
        call = self._start(self._store.reserve(reservation, lease_s))
        try:
            verdict = await self._within(call)
        except asyncio.CancelledError:
            self._start(self._undo(reservation, call))
            raise
        except StoreUnavailable as error:
            self._in_doubt(reservation, error)
            return await self._without(subjects, need, lease_s)
        return self._answer(reservation, verdict)

    async def usages(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """See `Readable.usages`; while the store is away, what this host knows by itself.

        A look that takes long says nothing of the store: it turns nobody away from it.
        """
        found: list[Usage] = []
        try:
            if self._unwell:
                raise StoreUnavailable(self._unwell)  # noqa: TRY301 - the same end as a failure below
            async with asyncio.timeout(self._open_s):
                for at in range(0, len(subjects), LOOK):
                    found += await self._store.look(subjects[at : at + LOOK])
        except (StoreUnavailable, TimeoutError) as error:
            if self._host is None:
                raise Unavailable("The use of limits cannot be read now.", retry_after_s=1.0) from error
            return await self._host.usages(subjects)
        return found

    def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Limiter.settle`. Applied within the deadline, or when the store is back."""
        if not reservation.shared:
            if self._host is not None:
                self._host.settle(reservation, actual)
            return
        if reservation.settled:
            return
        reservation.settled = True
        if self._unwell:
            self._backlog.append((reservation, actual))
        else:
            self._start(self._settle(reservation, actual))

    def _answer(self, reservation: Reservation, verdict: Verdict) -> Reservation | Refusal:
        for spending in verdict.spendings:
            self._known[spending.name] = spending
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]
        if verdict.refusal is not None:
            return verdict.refusal
        reservation.standings = verdict.standings
        return reservation

    async def _undo(self, reservation: Reservation, call: asyncio.Task[Verdict]) -> None:
        """Give back what nobody waits for any more, but after it was taken: before would leak a lease."""
        try:
            verdict = await self._within(call)
        except StoreUnavailable as error:
            self._in_doubt(reservation, error)
        else:
            if verdict.refusal is None:
                self.settle(reservation, NOT_MADE)

    def _in_doubt(self, reservation: Reservation, error: StoreUnavailable) -> None:
        """It may or may not have been made: undone before the store is used again."""
        reservation.settled = True
        self._backlog.append((reservation, NOT_MADE))
        self.turn_away(str(error))

    async def _without(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        if self._host is None:
            raise Unavailable("The limits of this request cannot be checked now.", retry_after_s=1.0)
        return await self._host.reserve(subjects, need, lease_s)

    async def _settle(self, reservation: Reservation, actual: Amount | None) -> None:
        try:
            await self._within(self._start(self._store.settle(reservation, actual)))
        except StoreUnavailable as error:
            self._backlog.append((reservation, actual))
            self.turn_away(str(error))

    async def _within(self, call: asyncio.Task[T]) -> T:
        """Its result within the deadline. What then still goes on is cancelled, but not waited for."""
        await asyncio.wait({call}, timeout=self._deadline_s)
        for _ in range(TURNS):
            if call.done():
                return call.result()
            await asyncio.sleep(0)
        call.cancel()
        raise StoreUnavailable(f"no answer within {self._deadline_s * 1000:g} ms")

    def _start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; of one that was given up nobody asks

    def turn_away(self, reason: str) -> None:
        """Go on without the store until a probe finds it well; nothing if that is so already."""
        if self._unwell:
            return
        self._unwell = reason or "unknown"
        if self._host is not None:
            self._host.restore(self._known.values())
        self._recovery = asyncio.get_running_loop().create_task(self._recover())
        self._told(self._unwell)

    async def _recover(self) -> None:
        await asyncio.sleep(self._probe_s)
        while not await self._is_back():  # noqa: ASYNC110 - what it waits for is elsewhere
            await asyncio.sleep(self._probe_s)
        self._unwell = ""
        self._told("")

    async def _is_back(self) -> bool:
        """Whether the store answers and has caught up with what it missed."""
        try:
            async with asyncio.timeout(self._open_s):
                await self._store.open()
            while self._backlog:
                await self._catch_up(*self._backlog.popleft())
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    async def _catch_up(self, reservation: Reservation, actual: Amount | None) -> None:
        try:
            async with asyncio.timeout(self._open_s):
                await self._store.settle(reservation, actual)
        except BaseException:
            self._backlog.appendleft((reservation, actual))
            raise

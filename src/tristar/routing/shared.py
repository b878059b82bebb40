"""The breakers of one host, in step with those of all replicas; by themselves while that cannot be.

While the store answers it decides, over the reports of all hosts, and each host follows. Reports
and questions of a host go to it together, in their order, by one task: a call of a closed llm
waits for nothing, a success travels with the next exchange, a failure causes one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from tristar.errors import ModelNotFound
from tristar.routing.board import NO_BREAKER, BreakerBoard
from tristar.routing.breaker import Breaker, State
from tristar.routing.catalog import Catalog
from tristar.routing.store import BreakerStore, Ill, Known, Merge, News, Nothing, Order, Probe, Well
from tristar.sharing import StoreUnavailable

DEADLINE_S = 0.05
POLL_S = 0.25
PATIENCE_S = 1.0
PROBE_S = 1.0
TURNS = 8
"""Turns of the loop after the deadline: one that was itself held up finds an answer that had come in time."""


class SharedBoard:
    """See `Board`. Event-loop thread only, but for `states`.

    What one host decides or reports, every other knows within `poll_s` and the time of a call. A
    call of an llm that is half-open waits for the store, at most `deadline_s`; nothing else does.
    When the store is away (no answer within the deadline, or within `patience_s` to what nobody
    waits for), `board` goes on by itself from what it last knew, with what was still under way;
    asked for again every `probe_s`, the store takes over what was decided meanwhile, and of what
    hosts decided apart, the latest holds. `told` hears of each turn once: the reason, or "" for
    well again.
    """

    def __init__(
        self,
        board: BreakerBoard,
        store: BreakerStore,
        told: Callable[[str], None],
        *,
        deadline_s: float = DEADLINE_S,
        poll_s: float = POLL_S,
        patience_s: float = PATIENCE_S,
        probe_s: float = PROBE_S,
    ) -> None:
        self._board = board
        self._store = store
        self._told = told
        self._deadline_s = deadline_s
        self._poll_s = poll_s
        self._patience_s = patience_s
        self._probe_s = probe_s
        self._unwell = "not connected yet"
        self._known = Known()
        self._orders: list[Order] = []
        self._flying: list[Order] = []
        self._wells: dict[str, Well] = {}
        self._woken = asyncio.Event()
        self._call: asyncio.Task[News] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def unwell(self) -> str:
        """Why the store is not used now; empty when it is."""
        return self._unwell

    # -- life ------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; a store that is away does not keep anyone from starting."""
        reason = await self._reconnect()
        self._unwell = ""
        if reason:
            self.turn_away(reason)
        self._task = asyncio.get_running_loop().create_task(self._keep_in_step())

    async def close(self) -> None:
        """Say what was still to be said, for at most `patience_s`; then hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._orders and not self._unwell:
            await self._exchange()
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await self._store.close()

    # -- Board -----------------------------------------------------------------

    def adopt(self, catalog: Catalog) -> None:
        """See `Board.adopt`."""
        self._board.adopt(catalog)
        self._known = Known()
        self._woken.set()

    def states(self) -> Mapping[str, State]:
        """See `Board.states`."""
        return self._board.states()

    def breaker(self, llm_id: str) -> Breaker | None:
        """See `Board.breaker`."""
        return self._board.breaker(llm_id)

    def override(self, llm_id: str, *, forced: bool) -> bool:
        """See `Board.override`; in force here at once, elsewhere within `poll_s`."""
        done = self._board.override(llm_id, forced=forced)
        if done and not self._unwell:
            self._merge(llm_id)
            self._woken.set()
        return done

    def free_permit(self, llm_id: str) -> int | None:
        """See `Breakers.free_permit`."""
        return self._board.free_permit(llm_id)

    def wait_s(self, llm_id: str) -> float:
        """See `Breakers.wait_s`."""
        return self._board.wait_s(llm_id)

    async def admit(self, llm_id: str) -> int | None:
        """See `Breakers.admit`."""
        breaker = self._board.breaker(llm_id)
        if breaker is None:
            return NO_BREAKER
        if self._unwell or breaker.observe() is not State.HALF_OPEN:
            return breaker.admit()
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        policy, lease_s = self._board.policy(llm_id)
        self._orders.append(Probe(llm_id, policy, lease_s, answer))
        self._woken.set()
        try:
            return await self._within(answer)
        except TimeoutError:
            self.turn_away(f"no answer within {self._deadline_s * 1000:g} ms")
            return answer.result() if answer.done() else self._board.admit_now(llm_id)
        finally:
            answer.cancel()

    def succeeded(self, llm_id: str, permit: int) -> None:
        """See `Breakers.succeeded`."""
        if self._unwell:
            self._board.succeeded(llm_id, permit)
            return
        last = self._wells.get(llm_id)
        if last is not None and last.permit == permit:
            last.calls += 1
            return
        breaker = self._board.breaker(llm_id)
        if breaker is None:
            return
        well = self._wells[llm_id] = Well(llm_id, self._board.policy(llm_id)[0], permit, 1)
        self._orders.append(well)
        if breaker.free_permit() is None:
            self._woken.set()

    def failed(self, llm_id: str, permit: int, retry_after_s: float | None) -> None:
        """See `Breakers.failed`."""
        if self._unwell:
            self._board.failed(llm_id, permit, retry_after_s)
        elif self._board.some(llm_id) is not None:
            self._wells.pop(llm_id, None)
            self._orders.append(Ill(llm_id, self._board.policy(llm_id)[0], permit, retry_after_s))
            self._woken.set()

    def abandoned(self, llm_id: str, permit: int) -> None:
        """See `Breakers.abandoned`."""
        if self._unwell:
            self._board.abandoned(llm_id, permit)
        elif self._board.free_permit(llm_id) is None:
            self._orders.append(Nothing(llm_id, self._board.policy(llm_id)[0], permit))
            self._woken.set()

    # -- in step with the store --------------------------------------------------

    async def _keep_in_step(self) -> None:
        while True:
            if self._unwell:
                await asyncio.sleep(self._probe_s)
                if not await self._reconnect():
                    self._unwell = ""
                    self._told("")
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._woken.wait()
            self._woken.clear()
            await self._exchange()

    async def _exchange(self) -> None:
        """Tell what there is to be told, heed what there is to be learned."""
        self._flying, self._orders = self._orders, []
        self._wells.clear()
        try:
            news = await self._ask(self._flying)
        except StoreUnavailable as error:
            self.turn_away(str(error))
            return
        if self._unwell:
            return  # an asker lost patience meanwhile, and all was decided here
        orders, self._flying = self._flying, []
        self._heed(news, orders)

    async def _ask(self, orders: Sequence[Order]) -> News:
        """One call of the store, given up after `patience_s` or when this host turns away."""
        call = asyncio.get_running_loop().create_task(self._store.exchange(orders, self._known))
        self._call = call
        try:
            await asyncio.wait({call}, timeout=self._patience_s)
        finally:
            self._call = None
            if not call.done():
                call.cancel()
            call.add_done_callback(_look_at)
        if call.done() and not call.cancelled():
            return call.result()
        raise StoreUnavailable(f"no answer within {self._patience_s:g} s")

    def _heed(self, news: News, orders: Sequence[Order]) -> None:
        forgotten = bool(self._known.epoch) and news.known.epoch != self._known.epoch
        self._known = news.known
        for decision in news.changes:
            breaker = self._board.some(decision.llm_id)
            if breaker is not None:
                breaker.follow(decision, news.now_ms)
        probes = [order for order in orders if isinstance(order, Probe)]
        for probe, permit in zip(probes, news.permits, strict=True):
            if not probe.answer.done():
                probe.answer.set_result(permit)
            elif permit is not None:
                self.abandoned(probe.llm_id, permit)
        if forgotten:
            self._merge_all()

    async def _reconnect(self) -> str:
        """Connect, tell what this host decided by itself, learn what all others did; why not, if not."""
        self._known = Known()
        self._merge_all()
        orders, self._orders = self._orders, []
        try:
            async with asyncio.timeout(self._patience_s):
                await self._store.open()
            self._heed(await self._ask(orders), orders)
        except StoreUnavailable as error:
            return str(error)
        except TimeoutError:
            return f"no connection within {self._patience_s:g} s"
        return ""

    def _merge_all(self) -> None:
        for decision in self._board.decisions():
            self._merge(decision.llm_id)

    def _merge(self, llm_id: str) -> None:
        breaker = self._board.breaker(llm_id)
        decision = None if breaker is None else breaker.decision(llm_id)
        if decision is not None:
            with contextlib.suppress(ModelNotFound):
                self._orders.append(Merge(llm_id, self._board.policy(llm_id)[0], decision))

    # -- without it ----------------------------------------------------------------

    def turn_away(self, reason: str) -> None:
        """Decide alone until the store is found well again; nothing if that is so already."""
        if self._unwell:
            return
        self._unwell = reason or "unknown"
        if self._call is not None:
            self._call.cancel()
        left, self._flying, self._orders = [*self._flying, *self._orders], [], []
        self._wells.clear()
        for order in left:
            self._decide(order)
        self._told(self._unwell)

    def _decide(self, order: Order) -> None:
        """Enter here what the store has not confirmed."""
        match order:
            case Well(llm_id, _, permit, calls):
                for _ in range(min(calls, order.policy.min_calls)):
                    self._board.succeeded(llm_id, permit)
            case Ill(llm_id, _, permit, retry_after_s):
                self._board.failed(llm_id, permit, retry_after_s)
            case Nothing(llm_id, _, permit):
                self._board.abandoned(llm_id, permit)
            case Probe(llm_id) if not order.answer.done():
                order.answer.set_result(self._board.admit_now(llm_id))
            case _:
                return  # a decision of this host's own is in force here already

    async def _within(self, answer: "asyncio.Future[int | None]") -> int | None:
        await asyncio.wait({answer}, timeout=self._deadline_s)
        for _ in range(TURNS):
            if answer.done():
                return answer.result()
            await asyncio.sleep(0)
        raise TimeoutError


def _look_at(task: "asyncio.Task[News]") -> None:
    """Of a call that was given up nobody asks what it came to."""
    if not task.cancelled():
        task.exception()

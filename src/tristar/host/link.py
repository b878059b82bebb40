"""A worker's way to the hub: its ledger, its view of the breakers, its scrapes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from tristar.audit.draft import Draft
from tristar.clock import Clock
from tristar.errors import NoRecord, Unavailable
from tristar.exchange import Account
from tristar.host.conditions import Condition, Status
from tristar.host.frames import (
    Abandon,
    Admit,
    Adopt,
    Ailing,
    Breaker,
    Close,
    Done,
    Fares,
    Fates,
    Fly,
    Flying,
    FromHub,
    FromWorker,
    Health,
    Hello,
    KeysAside,
    Lag,
    Look,
    Page,
    Permit,
    Report,
    Reserve,
    Revoked,
    Ruling,
    Scrape,
    Settle,
    Told,
    from_hub,
    pack,
)
from tristar.host.slots import SlotTable
from tristar.ledger import Notice
from tristar.limits.allowance import Amount, Subject
from tristar.limits.limiter import FREE, Reservation
from tristar.limits.usage import Refusal
from tristar.routing.board import NO_BREAKER
from tristar.routing.credentials import Setbacks

SCRAPE_TIMEOUT_S = 8.0
LOOK_TIMEOUT_S = 5.0


class Link(asyncio.Protocol):
    """The connection to the hub. `lost` is called when it ends: without a hub nothing may be served."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[], None]) -> None:
        self._loop = loop
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None
        self._unpacker = from_hub(self._take)
        self._n = 0
        self._fates: dict[int, Callable[[bool], None]] = {}
        self._answers: dict[int, asyncio.Future[FromHub]] = {}
        self.breakers: dict[str, Breaker] = {}
        self.in_flight: Mapping[tuple[str, str], int] = {}
        """This worker's attempts in progress, as its relay counts them."""
        self.adopt: Callable[[bytes], None] = lambda _: None
        """Called with a new configuration from the hub."""
        self.unwell = ""
        self.ailing: Mapping[str, str] = {}
        """Why sinks and anchors of the audit log are degraded, by the dependency's name."""
        self.setbacks: dict[str, Setbacks] = {}
        """The operator's keys that are set aside, by provider."""
        self.conditions: dict[str, Condition] = {}
        """How what the host leans on fares, as the hub last told."""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._unpacker.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: whoever waits is told that nothing will come."""
        del exc
        self.closed = True
        self.unwell = "the process that writes the audit log is gone"
        for settled in self._fates.values():
            settled(False)  # noqa: FBT003 - the callback's one argument
        self._fates.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Unavailable("The hub process is gone.", retry_after_s=1))
        self._answers.clear()
        self._lost()

    def tell(self, frame: FromWorker) -> None:
        """Send one frame; what is written before an answer leaves arrives before a later scrape."""
        if self._transport is None or self.closed:
            return
        self._transport.write(pack(frame))

    def hello(self, pid: int, slots: SlotTable) -> None:
        """Introduce this worker."""
        self.tell(Hello(pid, str(slots.path)))

    def tell_lag(self, seconds: float) -> None:
        """Tell how late a timer of this process's event loop fired."""
        self.tell(Lag(seconds))

    def tell_revoked(self, seconds: float) -> None:
        """Tell how long this process still took a revoked key."""
        self.tell(Revoked(seconds))

    def settle(self, frame: Close, settled: Callable[[bool], None]) -> None:
        """Send one closed exchange; `settled(durable)` is called when its fate is known."""
        if self.closed:
            settled(False)  # noqa: FBT003 - the callback's one argument
            return
        self._n += 1
        frame.n = self._n
        self._fates[self._n] = settled
        self.tell(frame)

    async def ask(
        self, make: Callable[[int], FromWorker], given_up: Callable[[int], FromWorker] | None = None
    ) -> FromHub:
        """Send a question and wait for its answer; `given_up` makes what is sent if the asker is cancelled.

        Raises:
            Unavailable: the hub is gone.
        """
        if self.closed:
            raise Unavailable("The hub process is gone.", retry_after_s=1)
        self._n += 1
        n = self._n
        answer: asyncio.Future[FromHub] = self._loop.create_future()
        self._answers[n] = answer
        self.tell(make(n))
        try:
            return await answer
        except asyncio.CancelledError:
            if given_up is not None:
                self.tell(given_up(n))
            raise
        finally:
            self._answers.pop(n, None)

    def close(self) -> None:
        """Hang up; what was written is sent first."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, frame: FromHub) -> None:
        match frame:
            case Fates(durable, lost):
                for n in durable:
                    self._settled(n, durable=True)
                for n in lost:
                    self._settled(n, durable=False)
            case Breaker(llm_id):
                self.breakers[llm_id] = frame
            case Health(reason):
                self.unwell = reason
            case Ailing(reasons):
                self.ailing = reasons
            case Fares(name, status, reason):
                self.conditions[name] = Condition(cast("Status", status), reason)
            case KeysAside(provider, setbacks):
                self.setbacks[provider] = setbacks
            case Fly(n):
                flying = [(*pair, count) for pair, count in self.in_flight.items()]
                self.tell(Flying(n, flying, len(asyncio.all_tasks(self._loop))))
            case Adopt(settings):
                self.adopt(settings)
            case Permit(n) | Page(n) | Done(n) | Ruling(n) | Told(n):
                self._answered(n, frame)

    def _answered(self, n: int, frame: FromHub) -> None:
        answer = self._answers.get(n)
        if answer is not None and not answer.done():
            answer.set_result(frame)
        elif isinstance(frame, Permit) and frame.permit is not None:
            # The asker was cancelled meanwhile: a probe's place is not to be lost.
            self.tell(Report(frame.llm_id, frame.permit, well=None))

    def _settled(self, n: int, *, durable: bool) -> None:
        settled = self._fates.pop(n, None)
        if settled is not None:
            settled(durable)


class LinkWay:
    """See `entry.Way`; over the link."""

    is_here: Final = False

    def __init__(self, link: Link, *, strict: bool) -> None:
        self._link = link
        self._strict = strict

    @property
    def reason(self) -> str:
        """See `Way.reason`."""
        return self._link.unwell

    @property
    def lost(self) -> bool:
        """See `Way.lost`."""
        return self._link.closed

    def check(self) -> None:
        """See `Way.check`."""
        if self._link.unwell and (self._strict or self._link.closed):
            raise NoRecord(
                f"The audit log cannot take this request's record: {self._link.unwell}", retry_after_s=1
            )

    def notice(self, notice: Notice) -> None:
        """See `Way.notice`."""
        self._link.tell(notice)

    def enter(
        self, draft: Draft | None, account: Account | None, slot: int, settled: Callable[[bool], None]
    ) -> None:
        """See `Way.enter`."""
        self._link.settle(Close(0, slot, draft, account), settled)


class LinkBreakers:
    """See `Breakers`; free permits are known here, everything else is asked of the hub."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    def free_permit(self, llm_id: str) -> int | None:
        """See `Breakers.free_permit`."""
        known = self._link.breakers.get(llm_id)
        return NO_BREAKER if known is None else known.free_permit

    async def admit(self, llm_id: str) -> int | None:
        """See `Breakers.admit`."""
        if self.wait_s(llm_id) > 0:
            return None
        answer = await self._link.ask(lambda n: Admit(n, llm_id))
        return answer.permit if isinstance(answer, Permit) else None

    def wait_s(self, llm_id: str) -> float:
        """See `Breakers.wait_s`."""
        known = self._link.breakers.get(llm_id)
        return 0.0 if known is None else max(0.0, known.open_until - self._clock.monotonic())

    def succeeded(self, llm_id: str, permit: int) -> None:
        """See `Breakers.succeeded`."""
        self._link.tell(Report(llm_id, permit, well=True))

    def failed(self, llm_id: str, permit: int, retry_after_s: float | None) -> None:
        """See `Breakers.failed`."""
        self._link.tell(Report(llm_id, permit, well=False, retry_after_s=retry_after_s))

    def abandoned(self, llm_id: str, permit: int) -> None:
        """See `Breakers.abandoned`."""
        self._link.tell(Report(llm_id, permit, well=None))


class LinkLimiter:
    """See `Limiter`; the hub keeps account for all workers of its host."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def reserve_now(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal | None:
        """See `Limiter.reserve_now`."""
        del need, lease_s
        return None if subjects else FREE

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """See `Limiter.reserve`."""
        if not subjects:
            return FREE
        asked = list(subjects)
        answer = await self._link.ask(lambda n: Reserve(n, asked, need, lease_s), Abandon)
        assert isinstance(answer, Ruling)  # noqa: S101 - the hub answers a question in kind
        if not answer.known:
            raise Unavailable("The limits of this request cannot be checked now.", retry_after_s=1)
        if answer.refusal is not None:
            return answer.refusal
        return Reservation(str(answer.n), subjects, need, answer.standings)

    def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Limiter.settle`."""
        if reservation.settled or not reservation.subjects:
            return
        reservation.settled = True
        self._link.tell(Settle(int(reservation.id), actual))


class LinkLookout:
    """See `edge.lookout.Lookout`; the hub sees all workers of its host."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def look(self, what: str, after: int = 0, limit: int = 0) -> bytes:
        """See `Lookout.look`."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                answer = await self._link.ask(lambda n: Look(n, what, after, limit))
        except TimeoutError as error:
            raise Unavailable("The host could not be looked at in time.", retry_after_s=1) from error
        assert isinstance(answer, Told)  # noqa: S101 - the hub answers a question in kind
        if answer.problem:
            raise Unavailable(answer.problem, retry_after_s=1)
        return answer.body


class LinkScraper:
    """See `edge.front.Scraper`; the books are the hub's."""

    def __init__(self, link: Link, path: str) -> None:
        self._link = link
        self.path = path

    async def scrape(self, accept: str | None) -> tuple[bytes, str]:
        """See `Scraper.scrape`."""
        try:
            async with asyncio.timeout(SCRAPE_TIMEOUT_S):
                answer = await self._link.ask(lambda n: Scrape(n, accept))
        except TimeoutError as error:
            raise Unavailable("The metrics could not be read in time.", retry_after_s=1) from error
        assert isinstance(answer, Page)  # noqa: S101 - the hub answers a question in kind
        return answer.body, answer.kind

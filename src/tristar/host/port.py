"""The hub's side of the links: one per worker, and what is done for a worker that died."""

import asyncio
import fcntl
import os
import socket
import struct
import termios
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import cast

import structlog

from tristar.errors import Unavailable
from tristar.host.conditions import Condition, Conditions
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
    KeyAccepted,
    KeyRefused,
    KeysAside,
    Lag,
    Look,
    Order,
    Page,
    Report,
    Reserve,
    Revoked,
    Scrape,
    Settle,
    Told,
    from_workers,
    pack,
)
from tristar.host.hub import Hub
from tristar.host.leases import Leases
from tristar.host.orphans import enter_orphans
from tristar.host.probes import Probes
from tristar.host.slots import Begun, SlotReader
from tristar.ledger import Notice
from tristar.limits.limiter import Limiter
from tristar.routing.credentials import CredentialBoard

_log = structlog.get_logger("tristar.host")

IN_FLIGHT_TIMEOUT_S = 0.25
EMPTY_POLL_S = 0.05

Render = Callable[[str | None], Awaitable[tuple[bytes, str]]]


class Port:
    """All links of a hub. Event-loop thread only."""

    def __init__(
        self,
        hub: Hub,
        limiter: Limiter,
        conditions: Conditions,
        credentials: CredentialBoard,
        *,
        loop: asyncio.AbstractEventLoop,
        render: Render,
    ) -> None:
        self.hub = hub
        self.limiter = limiter
        self.ailing: dict[str, str] = {}
        """Why sinks and anchors of the audit log are degraded, by the dependency's name."""
        self.conditions = conditions
        self.credentials = credentials
        self.loop = loop
        self._render = render
        self.links: set[WorkerLink] = set()
        self.greeted = asyncio.Event()
        """Set once the first worker is there."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.carry_out: Callable[[str, str], Awaitable[list[str]]] = _nothing_to_order
        self.look: Callable[[str, int, int], Awaitable[bytes]] = _nothing_to_see
        hub.watch_health(self._health_changed)
        hub.watch_breakers(self._breaker_changed)
        conditions.watch(self._condition_changed)
        credentials.watch(self._credentials_changed)

    async def listen(self, path: Path) -> asyncio.Server:
        """Accept workers at a Unix socket that only this user can open."""
        listener = _bind(path)
        return await self.loop.create_unix_server(partial(WorkerLink, self), sock=listener)

    async def emptied(self, within_s: float) -> None:
        """Wait until every worker has hung up, or for so long."""
        give_up_at = self.loop.time() + within_s
        while self.links and self.loop.time() < give_up_at:  # noqa: ASYNC110 - links come and go meanwhile
            await asyncio.sleep(EMPTY_POLL_S)

    def active(self) -> int:
        """Requests in progress in all workers."""
        return sum(link.active() for link in self.links)

    def breaker_frame(self, llm_id: str) -> Breaker:
        """An llm's breaker as its workers should know it."""
        breaker = self.hub.board.breaker(llm_id)
        if breaker is None:
            return Breaker(llm_id, 1, 0.0)
        return Breaker(llm_id, breaker.free_permit(), breaker.open_until)

    def forget(self, pid: int, tables: Path) -> None:
        """A worker process ended; one that was never linked has served nothing, its table may go."""
        if any(link.pid == pid for link in self.links):
            return
        for path in tables.glob(f"{pid}-*.slots"):
            path.unlink(missing_ok=True)

    def scrape(self, link: "WorkerLink", question: Scrape) -> None:
        """Answer a scrape once everything that was sent before it has been entered."""
        self._start(self._scrape(link, question))

    def obey(self, link: "WorkerLink", order: Order) -> None:
        """Carry out an operator's order that came through a worker."""
        self._start(self._obey(link, order))

    def show(self, link: "WorkerLink", question: Look) -> None:
        """Answer what an operator asked through a worker."""
        self._start(self._show(link, question))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _show(self, link: "WorkerLink", question: Look) -> None:
        try:
            told = Told(question.n, await self.look(question.what, question.after, question.limit))
        except Unavailable as error:
            told = Told(question.n, b"", error.message)
        link.send(told)

    async def _obey(self, link: "WorkerLink", order: Order) -> None:
        link.send(Done(order.n, await self.carry_out(order.name, order.subject)))

    def adopt(self, settings: bytes) -> None:
        """Hand every worker a new configuration, and breakers as they are under it."""
        for link in self.links:
            link.send(Adopt(settings))
            link.send_breakers()

    async def _scrape(self, link: "WorkerLink", question: Scrape) -> None:
        await self.catch_up()
        body, kind = await self._render(question.accept)
        link.send(Page(question.n, body, kind))

    def in_flight(self) -> Counter[tuple[str, str]]:
        """Attempts in progress in all workers, as of the scrape that is being answered."""
        total: Counter[tuple[str, str]] = Counter()
        for link in list(self.links):
            total.update(link.in_flight)
        return total

    def tasks(self) -> int:
        """Tasks of the loops of all workers, as of the same scrape."""
        return sum(link.tasks for link in list(self.links))

    async def catch_up(self) -> None:
        """Take in what workers had sent until now, and learn which attempts are in progress."""
        await self._read_on()
        await self._ask_in_flight()

    def begun(self) -> list[Begun]:
        """Requests in progress in all workers."""
        return [begun for link in self.links for begun in link.begun()]

    async def _ask_in_flight(self) -> None:
        """Ask every worker; one that is stuck or dying is left at its last word."""
        answers = [link.ask_in_flight() for link in self.links]
        if answers:
            await asyncio.wait(answers, timeout=IN_FLIGHT_TIMEOUT_S)

    async def _read_on(self) -> None:
        """Read what other workers had already sent when the question came in."""
        goals = [(link, link.received_bytes + link.waiting_bytes()) for link in self.links]
        while any(link.is_behind(goal) for link, goal in goals):  # noqa: ASYNC110 - a turn of the loop reads on
            await asyncio.sleep(0)

    def _condition_changed(self, name: str, condition: Condition) -> None:
        for link in self.links:
            link.send(Fares(name, condition.status, condition.reason))

    def _credentials_changed(self, provider: str) -> None:
        frame = KeysAside(provider, dict(self.credentials.setbacks(provider)))
        for link in self.links:
            link.send(frame)

    def tell_ailing(self, reasons: dict[str, str]) -> None:
        """These sinks and anchors of the audit log are degraded now, no others."""
        self.ailing = reasons
        for link in self.links:
            link.send(Ailing(reasons))

    def _health_changed(self, reason: str) -> None:
        for link in self.links:
            link.send(Health(reason))

    def _breaker_changed(self, llm_id: str) -> None:
        frame = self.breaker_frame(llm_id)
        for link in self.links:
            link.send(frame)


async def _nothing_to_see(what: str, after: int, limit: int) -> bytes:
    del after, limit
    raise Unavailable(f"There are no {what} to be seen here yet.", retry_after_s=1)


async def _nothing_to_order(name: str, llm_id: str) -> list[str]:
    del llm_id
    return [f"{name} cannot be ordered here"]


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # By descriptor: the path of a Unix socket may have 107 bytes only.
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
    path.chmod(0o600)
    return listener


class WorkerLink(asyncio.Protocol):
    """One worker's frames in, answers out."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._hub = port.hub
        self._leases = Leases(port.limiter, port.loop, self.send)
        self._probes = Probes(port.hub, port.loop, self.send)
        self._transport: asyncio.Transport | None = None
        self._unpacker = from_workers(self._take)
        self._slots: SlotReader | None = None
        self._closed_in_slot: dict[int, str] = {}
        self._durable: list[int] = []
        self._lost: list[int] = []
        self._asked: asyncio.Future[None] | None = None
        self.in_flight: dict[tuple[str, str], int] = {}
        self.tasks = 0
        self.received_bytes = 0
        self.closed = False
        self.pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.received_bytes += len(data)
        self._unpacker.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`: everything that the worker sent has been taken; the rest are orphans."""
        del exc
        self.closed = True
        self._port.links.discard(self)
        self._leases.end()
        self._probes.end()
        if self._slots is None:
            return
        path = self._slots.path
        if path.exists():
            left = [
                begun
                for slot, begun in self._slots.unrecorded()
                if self._closed_in_slot.get(slot) != begun.event_id
            ]
            if left:
                _log.warning("worker died", pid=self.pid, requests_lost=len(left))
            enter_orphans(self._hub, left)
            path.unlink(missing_ok=True)
        self._slots.close()
        self._slots = None

    def active(self) -> int:
        """Requests in progress in this worker."""
        return 0 if self._slots is None else self._slots.active()

    def begun(self) -> list[Begun]:
        """Which they are."""
        return [] if self._slots is None else self._slots.begun()

    def is_behind(self, goal_bytes: int) -> bool:
        """Whether it is still to send up to this count."""
        return not self.closed and self.received_bytes < goal_bytes

    def waiting_bytes(self) -> int:
        """Bytes that the worker has sent and that were not read yet."""
        if self._transport is None or self.closed:
            return 0
        descriptor = self._transport.get_extra_info("socket").fileno()
        waiting = fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4)
        return int(struct.unpack("i", waiting)[0])

    def ask_in_flight(self) -> "asyncio.Future[None]":
        """Ask which attempts are in progress; done when the answer is in `in_flight`."""
        if self._asked is None or self._asked.done():
            self._asked = self._port.loop.create_future()
            self.send(Fly(0))
        return self._asked

    def _note_in_flight(self, attempts: list[tuple[str, str, int]]) -> None:
        self.in_flight = {(model, provider): count for model, provider, count in attempts}
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    def send(self, frame: FromHub) -> None:
        """Send one frame to the worker."""
        if self._transport is not None and not self.closed:
            self._transport.write(pack(frame))

    def _take(self, frame: FromWorker) -> None:
        match frame:
            case Close():
                self._enter(frame)
            case Report(llm_id, permit, well):
                self._probes.report(llm_id, permit, well, frame.retry_after_s)
            case Admit(n, llm_id):
                self._probes.ask(n, llm_id)
            case Reserve() | Settle() | Abandon():
                self._take_lease(frame)
            case Scrape():
                self._port.scrape(self, frame)
            case Flying(_, attempts, tasks):
                self.tasks = tasks
                self._note_in_flight(attempts)
            case Order() | Look():
                self._take_question(frame)
            case Lag() | Revoked():
                self._note_delay(frame)
            case KeyRefused() | KeyAccepted():
                self._take_key(frame)
            case Notice():
                self._hub.notice(frame)
            case Hello(pid, slots_path):
                self._greet(pid, Path(slots_path))

    def _greet(self, pid: int, slots_path: Path) -> None:
        self.pid = pid
        self._slots = SlotReader(slots_path)
        self._port.links.add(self)
        self._port.greeted.set()
        self.send(Health(self._hub.unwell))
        self.send(Ailing(self._port.ailing))
        for name, condition in self._port.conditions.all().items():
            self.send(Fares(name, condition.status, condition.reason))
        for provider, setbacks in self._port.credentials.all().items():
            self.send(KeysAside(provider, dict(setbacks)))
        self.send_breakers()

    def _take_lease(self, frame: Reserve | Settle | Abandon) -> None:
        match frame:
            case Reserve():
                self._leases.reserve(frame)
            case Settle(n, actual):
                self._leases.settle(n, actual)
            case Abandon(n):
                self._leases.abandon(n)

    def _note_delay(self, frame: Lag | Revoked) -> None:
        if isinstance(frame, Revoked):
            self._hub.note_revoked(frame.seconds)
        elif self._hub.books is not None:
            self._hub.books.event_loop_lag(frame.seconds)

    def _take_question(self, frame: Order | Look) -> None:
        match frame:
            case Order():
                self._port.obey(self, frame)
            case Look():
                self._port.show(self, frame)

    def _take_key(self, frame: KeyRefused | KeyAccepted) -> None:
        credentials = self._port.credentials
        match frame:
            case KeyRefused(provider, fingerprint, reason, rest_s):
                credentials.refused(provider, fingerprint, reason, rest_s)
            case KeyAccepted(provider, fingerprint):
                credentials.accepted(provider, fingerprint)

    def send_breakers(self) -> None:
        """Tell the worker every breaker as it is."""
        for llm_id in self._hub.board.states():
            self.send(self._port.breaker_frame(llm_id))

    def _enter(self, frame: Close) -> None:
        if frame.draft is not None and frame.slot >= 0:
            self._closed_in_slot[frame.slot] = frame.draft.event_id
        n = frame.n
        self._hub.enter(frame.draft, frame.account, lambda durable: self._settled(n, durable=durable))

    def _settled(self, n: int, *, durable: bool) -> None:
        if not self._durable and not self._lost:
            self._port.loop.call_soon(self._flush)  # one frame for all that a commit settles
        (self._durable if durable else self._lost).append(n)

    def _flush(self) -> None:
        durable, self._durable = self._durable, []
        lost, self._lost = self._lost, []
        self.send(Fates(durable, lost))

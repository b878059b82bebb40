"""A place at the audit log and the books for an application that is not the gateway.

The first process on an audit directory keeps log and books, further ones are tied to it. Where the
keeper dies the others take a place anew: one of them becomes the keeper, and its books begin at 0 as
after any restart.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import structlog

from tristar import __version__
from tristar.app import unmeasured
from tristar.audit.access import handover
from tristar.audit.listener import AuditSocket
from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter, WriterBusy
from tristar.clock import Clock
from tristar.edge.front import Scraper
from tristar.errors import Unavailable
from tristar.host.conditions import Conditions
from tristar.host.entry import HostLedger
from tristar.host.hub import Hub
from tristar.host.local import HubWay
from tristar.host.orphans import recover
from tristar.host.port import Port
from tristar.host.scrape import HubScraper
from tristar.joining import join_hub
from tristar.ledger import Ledger
from tristar.limits.local import LocalLimiter
from tristar.metrics.audits import AuditReadings
from tristar.metrics.books import Books
from tristar.metrics.lag import watch_loop
from tristar.opening import HUB_SOCKET, open_scribe, open_slots, recorded_in, writer_options
from tristar.routing.catalog import Catalog
from tristar.routing.credentials import CredentialBoard
from tristar.settings import Settings

TAKEN_WITHIN_S: Final = 10.0
POLL_S: Final = 0.05
DEADLINE_S: Final = 2.0

_log = structlog.get_logger("tristar")


@dataclass(frozen=True, slots=True)
class Place:
    """Where this process records and is scraped; `scraper` is None where nothing is measured."""

    ledger: Ledger
    scraper: Scraper | None


class Seat:
    """This process's place; one per event loop. `take` it first, `leave` it last."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._place: Place | None = None
        self._held = AsyncExitStack()
        self._seated = asyncio.Event()
        self._leaving = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self) -> None:
        """Take a place.

        Raises:
            WriterBusy: somebody holds the audit directory and takes nobody in.
        """
        give_up_at = time.monotonic() + TAKEN_WITHIN_S
        while True:
            async with AsyncExitStack() as stack:
                place = await self._try(stack, last=time.monotonic() > give_up_at)
                if place is not None:
                    self._held = stack.pop_all()
                    self._place = place
                    self._seated.set()
                    return
            await asyncio.sleep(POLL_S)

    async def place(self) -> Place:
        """The place, at once as a rule; waits while a new one is taken.

        Raises:
            Unavailable: there is none for `TAKEN_WITHIN_S`.
        """
        if self._place is None:
            try:
                async with asyncio.timeout(TAKEN_WITHIN_S):
                    await self._seated.wait()
            except TimeoutError as error:
                raise Unavailable("Nothing can be recorded now; retry.", retry_after_s=1) from error
        assert self._place is not None  # noqa: S101 - the event is set with it
        return self._place

    async def leave(self) -> None:
        """Make durable what is queued, and let go."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._place = None
        await self._held.aclose()

    async def _try(self, stack: AsyncExitStack, *, last: bool) -> Place | None:
        with contextlib.suppress(OSError):
            return await self._join(stack)
        try:
            return await self._keep(stack)
        except WriterBusy:
            if last:
                raise
            return None

    async def _join(self, stack: AsyncExitStack) -> Place:
        path = self._settings.audit.dir / HUB_SOCKET
        link, slots, ledger, scraper = await join_hub(path, self._settings, self._clock, self._lost)
        stack.callback(slots.close)
        stack.callback(link.close)
        stack.push_async_callback(_end, asyncio.create_task(watch_loop(link.tell_lag)))
        return Place(ledger, scraper)

    def _lost(self) -> None:
        if self._leaving:
            return
        _log.warning("the process that kept audit log and metrics is gone; taking a place anew")
        self._place = None
        self._seated.clear()
        # The old table stays: requests in flight still stand in it.
        task = asyncio.get_running_loop().create_task(self.take())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, stack: AsyncExitStack) -> Place:
        settings, loop = self._settings, asyncio.get_running_loop()
        strict = settings.audit.mode == "strict"
        books = None
        if settings.metrics.enabled:
            books = Books(clock=self._clock, version=__version__, models=(), endpoints=(), gateway=False)
        hub = Hub(
            loop=loop,
            clock=self._clock,
            scribe=open_scribe(settings, self._clock),
            books=books,
            catalog=Catalog([]),
            strict=strict,
            deadline_s=DEADLINE_S,
        )
        writer = await asyncio.to_thread(self._open_writer, hub)
        hub.attach(writer)
        socket = await AuditSocket.serve(writer)
        stack.push_async_callback(_close_log, hub, socket)
        recover(hub, settings.audit.dir, recorded_in(settings.audit.dir))
        slots = open_slots(settings)
        stack.callback(slots.close)
        scraper = None if books is None else HubScraper(books, loop, settings.metrics.path, _no_memory)
        conditions = Conditions(hub)
        port = Port(
            hub,
            LocalLimiter(self._clock),
            conditions,
            CredentialBoard(Catalog([]), self._clock, conditions.note),
            loop=loop,
            render=scraper.scrape if scraper else unmeasured,
        )
        server = await port.listen(settings.audit.dir / HUB_SOCKET)
        stack.push_async_callback(self._close_port, port, server)
        if books is not None:
            _watch(books, hub, writer, lambda: slots.active() + port.active(), strict=strict)
            stack.push_async_callback(_end, asyncio.create_task(watch_loop(books.event_loop_lag)))
        return Place(HostLedger(HubWay(hub), hub.scribe, slots, loop, self._clock, strict=strict), scraper)

    def _open_writer(self, hub: Hub) -> AuditWriter:
        directory = self._settings.audit.dir
        with handover(directory):
            return AuditWriter.open(
                directory,
                options=writer_options(self._settings),
                signer=Signer.load_or_create(self._settings.data_dir),
                clock=self._clock,
                on_commit=hub.on_commit,
                internal=hub.scribe.internal,
            )

    async def _close_port(self, port: Port, server: asyncio.Server) -> None:
        await port.emptied(self._settings.server.drain_s)
        server.close()
        (self._settings.audit.dir / HUB_SOCKET).unlink(missing_ok=True)


def _watch(books: Books, hub: Hub, writer: AuditWriter, active: Callable[[], int], *, strict: bool) -> None:
    broken = 0.0 if strict else 0.5
    books.watch(
        active_connections=active,
        audit=lambda: AuditReadings(writer.health().queued),
        dependencies=lambda: {"audit": broken if hub.unwell else 1.0},
    )


async def _close_log(hub: Hub, socket: AuditSocket) -> None:
    hub.settle_notices()
    socket.stop_listening()
    await asyncio.to_thread(hub.close)
    await socket.close()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _no_memory() -> tuple[None, None]:
    return None, None

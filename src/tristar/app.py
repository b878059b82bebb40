"""The composition root: settings in, a running gateway out; the only place where objects are built."""

import asyncio
import contextlib
import os
import pickle
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from tristar import __version__
from tristar.audit import columns
from tristar.audit.access import handover
from tristar.audit.bureau import Bureau
from tristar.audit.listener import AuditSocket
from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter
from tristar.auth.keys import Keys
from tristar.auth.shelf import Shelf
from tristar.clock import Clock, SystemClock
from tristar.edge.tls import Certificate
from tristar.errors import SettingsInvalid, TriStarError, Unavailable
from tristar.gateway import Gateway, Ties, Unwell
from tristar.host.chronicler import Chronicler
from tristar.host.conditions import Conditions, Status
from tristar.host.entry import HostLedger
from tristar.host.hub import Hub
from tristar.host.local import HubWay
from tristar.host.lookout import HubLookout
from tristar.host.orders import HubOrders
from tristar.host.orphans import recover
from tristar.host.outlets import Outlets
from tristar.host.port import Port
from tristar.host.pulse import watch_storage
from tristar.host.replicas import Replicas
from tristar.host.scrape import HubScraper
from tristar.host.slots import Begun, SlotReader, SlotTable
from tristar.host.verdict import Verdict
from tristar.limits.limiter import Readable
from tristar.limits.local import LocalLimiter
from tristar.limits.purse import Purse
from tristar.limits.redis import RedisStore
from tristar.limits.shared import SharedLimiter
from tristar.memory.backlog import Backlog
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.metrics.audits import AuditReadings
from tristar.metrics.books import Books
from tristar.metrics.lag import watch_loop
from tristar.opening import HUB_SOCKET, model_pairs, open_scribe, open_slots, recorded_in, writer_options
from tristar.routing.credentials import CredentialBoard
from tristar.routing.redis import RedisBreakers
from tristar.routing.shared import SharedBoard
from tristar.sdnotify import NOBODY, ServiceManager
from tristar.settings import Settings, load
from tristar.storage.engine import Database
from tristar.storage.opening import open_engine
from tristar.storage.spendings import SpendingBook

SWEEP_S = 30.0
COLUMNS_S = 5.0

_log = structlog.get_logger("tristar")


class Host:
    """The hub of this host with everything that hangs on it; held by one process."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._database: Database = open_engine(settings.database_url, settings.data_dir)
        self._store: Store = open_store(self._database, clock)
        self._backlog = Backlog(self._database, clock)
        self.shelf = Shelf(Keys(self._database, clock), clock)
        self._tasks: list[asyncio.Task[None]] = []
        self.books = self._open_books()
        self.hub = Hub(
            loop=self._loop,
            clock=clock,
            scribe=open_scribe(settings, clock),
            books=self.books,
            catalog=settings.catalog,
            strict=settings.audit.mode == "strict",
            deadline_s=2.0,
        )
        self._verdict = Verdict(settings.data_dir)
        self._slots: SlotTable | None = None
        self._scraper: HubScraper | None = None
        if self.books is not None:
            self._scraper = HubScraper(self.books, self._loop, settings.metrics.path, self._count_memory)
        self._orders = HubOrders(self.hub, self.reload, self._verdict)
        self.gateway: Gateway | None = None
        """The gateway in this process, if there is one; it takes reloaded configurations."""
        self.conditions = Conditions(self.hub)
        self.credentials = CredentialBoard(settings.catalog, clock, self.conditions.note)
        self.hub.watch_health(self._note_audit)
        own = LocalLimiter(clock)
        self._replicas, limiter = self._join_replicas(own)
        self.limiter = self._purse = Purse(limiter, own, SpendingBook(self._database), clock)
        render = self._scraper.scrape if self._scraper else unmeasured
        self.port = Port(
            self.hub, self.limiter, self.conditions, self.credentials, loop=self._loop, render=render
        )
        self._own_slots: SlotReader | None = None
        self._certificate: Certificate | None = None
        """What the workers in other processes show: the same files, read by the same rules."""
        self._chronicler = self._open_chronicle()
        self.lookout = HubLookout(
            self.hub,
            self.port,
            catalog=lambda: self._settings.catalog,
            uses=self._purse.uses,
            in_flight=self._in_flight,
            begun=self._begun,
            chronicler=self._chronicler,
        )
        self.port.look = self.lookout.look
        audit = settings.audit
        self._outlets = Outlets(
            self.hub,
            self.port,
            loop=self._loop,
            clock=clock,
            directory=audit.dir,
            sinks=audit.sinks,
            anchors=audit.anchors,
        )

    def _join_replicas(self, own: LocalLimiter) -> tuple[Replicas | None, Readable]:
        """Share limits and breakers with all other hosts, if there is a Redis to do it through."""
        url = self._settings.redis_url
        if url is None:
            return None, own
        refuse = self._settings.dependencies.redis == "refuse"
        replicas = Replicas(self.conditions, refuse=refuse)
        limiter = SharedLimiter(RedisStore(url), None if refuse else own, replicas.turned)
        board = SharedBoard(self.hub.own_board, RedisBreakers(url), replicas.turned)
        joined, self.hub.board = replicas.join(limiter, board)
        return replicas, joined

    async def reload(self) -> list[str]:
        """Read the configuration again; put its llms, providers, sinks and anchors in force everywhere.

        Returns the faults; then nothing was changed. Other settings take a restart.
        """
        before = self._settings
        try:
            after = await asyncio.to_thread(load, os.environ, Path.cwd(), before.config_path)
        except SettingsInvalid as invalid:
            return self._rejected([str(fault) for fault in invalid.faults])
        try:
            await self._outlets.adopt(after.audit.sinks, after.audit.anchors)
        except OSError as error:
            return self._rejected([f"audit.sinks: a cursor cannot be written: {error.strerror}"])
        audit = replace(before.audit, sinks=after.audit.sinks, anchors=after.audit.anchors)
        self._settings = replace(before, catalog=after.catalog, audit=audit, memory=after.memory)
        self.hub.board.adopt(after.catalog)
        self.credentials.adopt(after.catalog)
        if self.books is not None:
            self.books.set_models(model_pairs(after.catalog), after.catalog.names)
        if self.gateway is not None:
            self.gateway.adopt(self._settings)
        self.port.adopt(pickle.dumps(self._settings))
        self.hub.event("config_reloaded", "configuration", {"llms": len(after.catalog.llms)})
        _log.info("configuration reloaded", llms=len(after.catalog.llms))
        return []

    def _rejected(self, problems: list[str]) -> list[str]:
        self.hub.event("config_rejected", "configuration", {"problems": problems}, "ERROR")
        _log.error("configuration rejected; the running one stays", problems=problems)
        return problems

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._settings

    async def start(self) -> None:
        """Take the audit directory, record what an earlier run left open, bring the schema up to date.

        Raises:
            WriterBusy: another gateway or script holds the directory.
            AuditCorrupt: the log was tampered with.
        """
        settings = self._settings
        writer = await asyncio.to_thread(self._open_writer)
        self._writer = writer
        self.hub.attach(writer)
        self._outlets.start(writer)
        self._audit_socket = await AuditSocket.serve(writer)
        self.port.carry_out = self._orders.carry_out
        orphans = recover(self.hub, settings.audit.dir, recorded_in(settings.audit.dir))
        if orphans:
            _log.warning("requests of an earlier run were open", recorded_as_orphaned=orphans)
        if self.books is not None:
            self.books.watch(
                active_connections=self._count_active,
                memory_entries=self._memory_entries,
                memory_waiting=self._memory_waiting,
                breaker_states=self.hub.board.states,
                audit=self._audit_readings,
                dependencies=self._dependencies,
                llm_in_flight=self._in_flight,
                tasks=lambda: len(asyncio.all_tasks(self._loop)) + self.port.tasks(),
                certificate_end=self._certificate_end,
            )
            self._tasks.append(self._loop.create_task(watch_loop(self.books.event_loop_lag)))
        with contextlib.suppress(Unavailable):
            await self._database.start()
            await self._warn_if_open()
        await self._purse.open()
        if self._replicas is not None:
            await self._replicas.open()
        refuse = settings.dependencies.database == "refuse"
        pulse = watch_storage(self._database, self.conditions, refuse=refuse)
        self._tasks.append(self._loop.create_task(pulse))
        if settings.server.workers > 1:  # there will be replacements
            self._tasks.append(self._loop.create_task(self.shelf.follow()))
            self._certificate = Certificate.of(settings.server.tls_cert, settings.server.tls_key)
            if self._certificate is not None:
                self._tasks.append(self._loop.create_task(self._certificate.watch()))
        self._tasks.append(self._loop.create_task(self._sweep()))
        self._tasks.append(self._loop.create_task(self._keep_columns()))
        self._tasks.append(self._loop.create_task(self._purse.save_forever()))
        if self._chronicler is not None:
            await asyncio.to_thread(self._chronicler.open)
            self._tasks.append(self._loop.create_task(self._chronicler.run()))
        self.hub.event(
            "service_started", "service", {"version": __version__, "workers": settings.server.workers}
        )

    def _open_writer(self) -> AuditWriter:
        directory = self._settings.audit.dir
        with handover(directory):  # a script that holds the log lets go of it
            self._outlets.claim()
            return AuditWriter.open(
                directory,
                options=writer_options(self._settings),
                signer=Signer.load_or_create(self._settings.data_dir),
                clock=self._clock,
                on_commit=self.hub.on_commit,
                internal=self.hub.scribe.internal,
            )

    def _note_audit(self, reason: str) -> None:
        broken: Status = "down" if self._settings.audit.mode == "strict" else "degraded"
        self.conditions.note("audit", broken if reason else "ok", reason)

    async def _warn_if_open(self) -> None:
        settings = self._settings
        if settings.auth.admin_key is not None or not settings.server.loopback:
            return
        if not (await Keys(self._database, self._clock).page(1)).keys:
            _log.warning(
                "access is open to everyone on this machine; set TRISTAR_ADMIN_KEY or make a key to close it"
            )

    async def stop(self) -> None:
        """Record the end, make everything durable, let the directory go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hub.settle_notices()
        self.hub.event("service_stopped", "service", {"version": __version__})
        if self._replicas is not None:
            await self._replicas.close()
        await self._purse.save()
        if self._chronicler is not None:
            self._chronicler.close()
        self._audit_socket.stop_listening()
        await asyncio.to_thread(self.hub.close)
        await self._outlets.stop()
        await self._audit_socket.close()
        await self._database.close()

    def tie(self) -> Ties:
        """Tie a gateway in this very process to the hub."""
        slots = open_slots(self._settings)
        self._slots = slots
        strict = self._settings.audit.mode == "strict"
        ledger = HostLedger(HubWay(self.hub), self.hub.scribe, slots, self._loop, self._clock, strict=strict)
        self._own_slots = SlotReader(slots.path)
        return Ties(
            ledger=ledger,
            lookout=self.lookout,
            revoked=self.hub.note_revoked,
            breakers=self.hub.board,
            credentials=self.credentials,
            limiter=self.limiter,
            scraper=self._scraper,
            unwell=Unwell(self.hub, self.port, self.conditions.all()),
            slots=slots,
            orders=self._orders,
            database=self._database,
        )

    async def listen(self, path: Path) -> asyncio.Server:
        """Serve workers in other processes."""
        return await self.port.listen(path)

    def _open_chronicle(self) -> Chronicler | None:
        if self.books is None:
            return None
        return Chronicler(
            self.hub,
            self._settings.data_dir,
            calls_in_progress=lambda: sum(each.action == "llm_call" for each in self._begun()),
            queued=lambda: self._writer.health().queued,
            verified=lambda: self._verdict.ok,
            count_memory=self._store.live_entries,
        )

    def _open_books(self) -> Books | None:
        if not self._settings.metrics.enabled:
            return None
        return Books(
            clock=self._clock,
            version=__version__,
            models=model_pairs(self._settings.catalog),
            llm_ids=self._settings.catalog.names,
        )

    def _audit_readings(self) -> AuditReadings:
        return AuditReadings(
            self._writer.health().queued,
            self._outlets.readings(),
            self._outlets.anchor_readings(),
            verify_ok=self._verdict.ok,
        )

    def _count_active(self) -> int:
        own = 0 if self._slots is None else self._slots.active()
        return own + self.port.active()

    def _begun(self) -> Sequence[Begun]:
        own = [] if self._own_slots is None else self._own_slots.begun()
        return own + self.port.begun()

    def _in_flight(self) -> Mapping[tuple[str, str], int]:
        total = self.port.in_flight()
        if self.gateway is not None:
            total.update(dict(self.gateway.in_flight))
        return total

    def _memory_entries(self) -> int | None:
        return self._scraper.memory_entries if self._scraper else None

    def _certificate_end(self) -> float | None:
        shown = self._certificate if self.gateway is None else self.gateway.certificate
        return None if shown is None else shown.ends

    def _dependencies(self) -> Mapping[str, float]:
        return {"audit": 1.0, "storage": 1.0, **self.conditions.readings(), **self._outlets.conditions()}

    def _memory_waiting(self) -> int | None:
        return self._scraper.memory_waiting if self._scraper else None

    async def _count_memory(self) -> tuple[int, int | None]:
        live = await self._store.live_entries()
        embeds = self._settings.memory.embedding_llm is not None
        return live, await self._backlog.waiting() if embeds else None

    async def _keep_columns(self) -> None:
        """Make columns of closed segments, for questions, in a process of its own."""
        bureau, directory = Bureau(self._settings.audit.dir), self._settings.audit.dir
        tried: frozenset[int] = frozenset()
        lacking = await asyncio.to_thread(columns.missing, directory)
        while True:
            if lacking - tried:
                try:
                    await bureau.build()
                except (TriStarError, OSError) as error:
                    _log.warning("no columns of audit segments; questions read the lines", reason=str(error))
                tried = lacking
            await asyncio.sleep(COLUMNS_S)
            lacking = await asyncio.to_thread(columns.lacking, directory)

    async def _sweep(self) -> None:
        """Expired memory entries are invisible at once; here they also leave the disk."""
        while True:
            await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(Unavailable):
                self.lookout.swept(await self._store.sweep())


async def unmeasured(accept: str | None) -> tuple[bytes, str]:
    """For `Port`, where nothing is measured."""
    del accept
    return b"", "text/plain"


def reload_on_hangup(host: Host, service: ServiceManager) -> None:
    """Reload the configuration on SIGHUP; the service manager is told when it begins and when it is over."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def announced() -> None:
        service.reloading()
        faults = await host.reload()
        service.ready("configuration rejected; the one before stays in force" if faults else "serving")

    def reload() -> None:
        task = loop.create_task(announced())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)


@contextlib.asynccontextmanager
async def solo(settings: Settings, service: ServiceManager = NOBODY) -> AsyncIterator[Gateway]:
    """Hub and gateway in this process, started; both are stopped on leaving."""
    clock = SystemClock()
    async with hosting(settings) as host:
        ties = host.tie()
        gateway = host.gateway = Gateway(settings, ties, clock)
        reload_on_hangup(host, service)
        await gateway.start()
        try:
            yield gateway
        finally:
            await gateway.stop()
    ties.slots.close()


@contextlib.asynccontextmanager
async def hosting(settings: Settings) -> AsyncIterator[Host]:
    """The hub of this host, open to workers in other processes."""
    host = Host(settings, SystemClock())
    await host.start()
    path = settings.audit.dir / HUB_SOCKET
    server = await host.listen(path)
    try:
        yield host
    finally:
        # Other processes may still stream, and cannot end well without their hub.
        await host.port.emptied(settings.server.drain_s)
        server.close()
        await host.stop()
        path.unlink(missing_ok=True)

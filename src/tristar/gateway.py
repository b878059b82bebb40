"""One serving process: its ASGI application, and what runs beside it."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import SystemRandom

from tristar import __version__
from tristar.auth.address import Proxies
from tristar.auth.gate import Gate
from tristar.auth.keys import Keys
from tristar.auth.shelf import Handed
from tristar.auth.throttle import Throttle
from tristar.clock import Clock
from tristar.corridor import Corridor
from tristar.edge import admin, console, docs, erasure, health, keys, models
from tristar.edge.admin import Orders
from tristar.edge.audit import routes as audit
from tristar.edge.control import control_app
from tristar.edge.description import llm_paths
from tristar.edge.direct import Direct
from tristar.edge.front import Endpoint, Front, Scraper
from tristar.edge.guards import Guards
from tristar.edge.health import Dependency
from tristar.edge.lookout import history
from tristar.edge.lookout import routes as lookout
from tristar.edge.lookout.routes import Lookout
from tristar.edge.memory import mcp, rest
from tristar.edge.memory.backfill import Backfill
from tristar.edge.memory.desk import Desk
from tristar.edge.memory.embedder import Embedder
from tristar.edge.memory.tools import Toolbox
from tristar.edge.tls import Certificate
from tristar.edge.visits import Visits
from tristar.errors import DependencyDown, Unavailable
from tristar.host.conditions import WELL, Condition
from tristar.host.hub import Hub
from tristar.host.link import Link
from tristar.host.port import Port
from tristar.host.slots import SlotTable
from tristar.ledger import Ledger, WatchedLedger
from tristar.limits.limiter import Limiter
from tristar.memory.backlog import Backlog
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.memory.vectors import Vectors
from tristar.providers.anthropic.errors import ANTHROPIC_ERRORS
from tristar.providers.openai.errors import OPENAI_ERRORS
from tristar.providers.responses.errors import RESPONSES_ERRORS
from tristar.relay.attempts import Relay
from tristar.relay.hedge import Hedges
from tristar.relay.quota import Quota
from tristar.relay.rotation import Rotation
from tristar.relay.upstreams import Upstreams
from tristar.routing.board import Breakers
from tristar.routing.credentials import Credentials
from tristar.routing.load import Loads
from tristar.routing.pool import Chooser
from tristar.routing.prices import Prices
from tristar.routing.router import Router
from tristar.settings import Settings
from tristar.storage.engine import Database
from tristar.traces.opening import open_tracer
from tristar.traces.watcher import TraceWatcher

CHAT_PATHS = ("/v1/chat/completions", "/v1/chat")
EMBEDDINGS_PATH = "/v1/embeddings"
MESSAGES_PATH = "/v1/messages"
RESPONSES_PATH = "/v1/responses"
COUNT_PATH = "/v1/messages/count_tokens"

_SINK_MODE = "requests are served, records wait in the log"
_ANCHOR_MODE = "requests are served, newer checkpoints are kept on this machine only"
_KEY_MODE = "the provider's other keys are used"
_NO_KEY_MODE = "no key is left: its llms fail, or fall back"
PRICES_AFTER_S = 1.0
"""Loading the price list takes 40 ms of a processor: it waits until the start is over."""


@dataclass
class Ties:
    """What ties one serving process to its host: where it records, asks and is scraped."""

    ledger: Ledger
    lookout: Lookout
    revoked: Callable[[float], None]
    """Told how long this process still took a key that was revoked."""
    breakers: Breakers
    credentials: Credentials
    limiter: Limiter
    scraper: Scraper | None
    unwell: "Unwell"
    slots: SlotTable
    orders: Orders
    database: Database
    """One per process: two on one SQLite file would drop each other's locks."""


class Unwell:
    """Reads what ails the host, here or over the link; empty when all is well."""

    def __init__(self, log: Hub | Link, sinks: Port | Link, conditions: Mapping[str, Condition]) -> None:
        self._log = log
        self._sinks = sinks
        self._conditions = conditions

    @property
    def reason(self) -> str:
        """Why the audit log cannot take records."""
        return self._log.unwell

    def of(self, name: str) -> Condition:
        """How a dependency of the host fares."""
        return self._conditions.get(name, WELL)

    @property
    def keys(self) -> Mapping[str, Condition]:
        """The operator's keys at providers that are set aside, by the dependency's name."""
        return {
            name: condition
            for name, condition in self._conditions.items()
            if name.startswith("key:") and condition.status != "ok"
        }

    @property
    def ailing(self) -> Mapping[str, str]:
        """Why sinks and anchors of the audit log are degraded, by the dependency's name."""
        return self._sinks.ailing


class Gateway:
    """One serving process: its ASGI application and what runs beside it."""

    def __init__(self, settings: Settings, ties: Ties, clock: Clock) -> None:
        self._tracer = open_tracer(settings.otel, __version__)
        if self._tracer is not None:
            ties = replace(ties, ledger=WatchedLedger(ties.ledger, TraceWatcher(self._tracer)))
        if settings.logs.access:
            ties = replace(ties, ledger=WatchedLedger(ties.ledger, Visits(settings.metrics.path)))
        self._settings = settings
        self._ties = ties
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.draining = False
        self._database = ties.database
        self._keys = Keys(self._database, clock)
        self._vectors = Vectors(self._database, clock)
        self._store: Store = open_store(self._database, clock, self._vectors)
        self._upstreams = Upstreams(self._loop, __version__)
        self.certificate = Certificate.of(settings.server.tls_cert, settings.server.tls_key)
        """What this process shows to its clients; None without TLS."""
        self._gate = Gate(
            self._keys,
            clock,
            admin_key=settings.auth.admin_key,
            loopback=settings.server.loopback,
            key_grace_s=settings.auth.key_grace_s,
            refuse=settings.dependencies.database == "refuse",
            revoked=ties.revoked,
        )
        self._loads = Loads(clock)
        self._loads.timed = settings.catalog.by_pace
        self._router = Router(settings.catalog, Chooser(self._loads, SystemRandom()))
        self._prices = Prices(clock)
        self._quota = Quota(ties.limiter, self._prices, clock)
        self.app = self._front()

    def adopt(self, settings: Settings) -> None:
        """Take a reloaded configuration over: its llms, its providers, the audit log's outlets."""
        self._settings = settings
        if self.certificate is not None:
            self.certificate.refresh()
        self._router.adopt(settings.catalog)
        self._loads.timed = settings.catalog.by_pace
        self._quota.forget()
        self._embedder.adopt(settings.memory.embedding_llm)
        self._backfill.wake()
        self._learn_prices(settings)

    async def start(self, handed: Handed | None = None) -> None:
        """Make ready for the first request; `handed` is what this host knows of its keys already."""
        if handed is not None:
            self._gate.inherit(handed)
        await self._gate.refresh()
        self._tasks.append(self._loop.create_task(self._gate.refresh_forever()))
        if self.certificate is not None:
            self._tasks.append(self._loop.create_task(self.certificate.watch()))
        self._filling = self._loop.create_task(self._backfill.run())
        self._loop.call_later(PRICES_AFTER_S, self._learn_prices, self._settings)

    def _learn_prices(self, settings: Settings) -> None:
        """Read the price list before the first request asks for it; not while the gateway starts."""
        if not self.draining:
            learning = self._prices.learn_all(settings.catalog.llms.values())
            self._tasks.append(self._loop.create_task(learning))

    async def stop(self) -> None:
        """Let go of everything but the host."""
        self._backfill.stop()
        await asyncio.gather(self._filling, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._gate.close()
        await self._assistant.stop()
        await self._upstreams.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    def _front(self) -> Front:
        settings, ties = self._settings, self._ties
        router = self._router
        relay = Relay(
            upstreams=self._upstreams,
            rotation=Rotation(ties.credentials, self._clock),
            breakers=ties.breakers,
            quota=self._quota,
            prices=self._prices,
            loads=self._loads,
            hedges=Hedges(self._loads),
            clock=self._clock,
            random=SystemRandom(),
        )
        self.in_flight = relay.in_flight
        desk = Desk(self._store, ties.ledger)
        corridor = Corridor(
            router=router,
            relay=relay,
            quota=self._quota,
            memory=desk,
            ledger=ties.ledger,
            clock=self._clock,
        )
        self._embedder = Embedder(
            llm_id=settings.memory.embedding_llm,
            ask=corridor.embed,
            require=self._require,
            router=router,
            breakers=ties.breakers,
            ledger=ties.ledger,
            vectors=self._vectors,
            clock=self._clock,
        )
        self._backfill = Backfill(Backlog(self._database, self._clock), self._embedder, self._vectors)
        desk.senses, desk.written = self._embedder, self._backfill.wake
        self._assistant = mcp.Assistant(__version__, Toolbox(desk))
        control = control_app(
            __version__,
            [
                console.router(by_meaning=settings.memory.embedding_llm is not None),
                docs.router(),
                health.router(self._dependencies, lambda: self.draining, settings.server.notice),
                models.router(lambda: router.catalog, int(self._clock.time())),
                admin.router(ties.orders, ties.ledger),
                audit.router(settings.audit.dir, settings.data_dir, ties.ledger, ties.orders),
                rest.router(desk),
                mcp.router(self._assistant),
                keys.router(self._keys, ties.ledger),
                erasure.router(settings.audit.dir, ties.ledger, self._store),
                history.router(ties.lookout.look, lambda: self.draining, measured=settings.metrics.enabled),
                lookout.router(
                    ties.lookout, self._store, self._dependencies, self._kind_of, lambda: self.draining
                ),
            ],
            llm_paths(CHAT_PATHS, EMBEDDINGS_PATH, MESSAGES_PATH, COUNT_PATH, RESPONSES_PATH),
            settings.metrics.path if settings.metrics.enabled else None,
        )
        return Front(
            gate=self._gate,
            throttle=Throttle(self._clock, settings.auth.failed_logins_per_minute / settings.server.workers),
            proxies=Proxies(settings.server.trusted_proxies, settings.server.proxy_header),
            origins=settings.server.cors_origins,
            guards=Guards(settings.server.hsts_s),
            ledger=ties.ledger,
            clock=self._clock,
            endpoints=_endpoints(corridor),
            control=Direct(rest.direct(desk), control),
            scraper=ties.scraper,
            require=self._require,
            max_body_bytes=settings.server.max_body_mb * 1024 * 1024,
            deadline_s=settings.server.deadline_s,
        )

    async def _dependencies(self) -> Mapping[str, Dependency]:
        found = {"audit": self._audit_condition(), "storage": await self._storage_condition()}
        if self._settings.redis_url is not None:
            found["redis"] = self._redis_condition()
        for sink in self._settings.audit.sinks:
            found[f"sink:{sink.name}"] = self._outlet_condition(f"sink:{sink.name}", _SINK_MODE)
        for anchor in self._settings.audit.anchors:
            found[f"anchor:{anchor.name}"] = self._outlet_condition(f"anchor:{anchor.name}", _ANCHOR_MODE)
        for name, condition in self._ties.unwell.keys.items():
            mode = _NO_KEY_MODE if condition.status == "down" else _KEY_MODE
            found[name] = Dependency(
                status=condition.status, mode=mode, reason=condition.reason, required=False
            )
        return found

    def _kind_of(self, name: str) -> str:
        """What a dependency of this name is."""
        kind, colon, _ = name.partition(":")
        if colon:
            return kind
        storage = "sqlite" if self._settings.database_url is None else "postgresql"
        return {"audit": "directory", "storage": storage}.get(name, name)

    def _outlet_condition(self, name: str, mode: str) -> Dependency:
        reason = self._ties.unwell.ailing.get(name)
        if reason is None:
            return Dependency(status="ok", required=False)
        return Dependency(status="degraded", mode=mode, reason=reason, required=False)

    def _redis_condition(self) -> Dependency:
        condition = self._ties.unwell.of("redis")
        required = self._settings.dependencies.redis == "refuse"
        if condition.status == "ok":
            return Dependency(status="ok", required=required)
        mode = "requests are refused" if required else "limits and breakers are this host's own"
        return Dependency(status=condition.status, mode=mode, reason=condition.reason, required=required)

    def _require(self) -> None:
        """Refuse llm calls while something is away without which the operator wants none."""
        if self._ties.unwell.of("redis").status == "down":
            raise DependencyDown(
                "Redis is away, and this gateway is set not to go on without it.", retry_after_s=1.0
            )

    def _audit_condition(self) -> Dependency:
        reason = self._ties.unwell.reason
        strict = self._settings.audit.mode == "strict"
        if not reason:
            return Dependency(status="ok", required=strict)
        if strict:
            return Dependency(status="down", mode="requests are refused", reason=reason)
        return Dependency(
            status="degraded", mode="served, lost records counted", reason=reason, required=False
        )

    async def _storage_condition(self) -> Dependency:
        reason = self._gate.problem
        try:
            async with asyncio.timeout(1.0):
                await self._database.ping()
        except (Unavailable, TimeoutError) as error:
            reason = str(error) or "no answer within 1 s"
        required = self._settings.dependencies.database == "refuse"
        if reason is None:
            return Dependency(status="ok", required=required)
        if required:
            return Dependency(status="down", mode="requests are refused", reason=reason)
        return Dependency(
            status="degraded", mode="known keys work, memory answers 503", reason=reason, required=False
        )


def _endpoints(corridor: Corridor) -> Mapping[str, Endpoint]:
    """What serves the llm routes, by path."""
    return {
        **dict.fromkeys(CHAT_PATHS, Endpoint(corridor.chat, OPENAI_ERRORS)),
        EMBEDDINGS_PATH: Endpoint(corridor.embed, OPENAI_ERRORS),
        MESSAGES_PATH: Endpoint(corridor.messages, ANTHROPIC_ERRORS),
        RESPONSES_PATH: Endpoint(corridor.responses, RESPONSES_ERRORS),
        COUNT_PATH: Endpoint(corridor.count_tokens, ANTHROPIC_ERRORS),
    }

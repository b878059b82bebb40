"""The metric books of one host: every closed exchange is entered once, every scrape reads them.

One process keeps them (the hub). Entering takes one lock for well under ten microseconds; a
scrape holds the same lock only while it copies the values, so it sees each exchange
whole or not at all, and writes its text after letting go.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tristar.clock import Clock
from tristar.exchange import Account
from tristar.metrics.audits import AuditReadings, Audits
from tristar.metrics.breakers import Breakers
from tristar.metrics.exposition import compose, negotiate
from tristar.metrics.family import Family, Frozen, as_client_metric
from tristar.metrics.internals import Internals
from tristar.metrics.labels import CAP, Vocabulary
from tristar.metrics.llms import Llms, Pair
from tristar.metrics.memories import EMBEDDINGS, Memories
from tristar.metrics.requests import Requests

LLM_ENDPOINTS: Final = (
    "/v1/chat/completions",
    "/v1/chat",
    "/v1/messages",
    "/v1/responses",
    "/v1/embeddings",
)

_log = logging.getLogger(__name__)
_Read = TypeVar("_Read")


class Books(Collector):
    """Every metric of the gateway.

    `models` are the configured (model, provider) pairs, `endpoints` the route templates that
    reach an llm: their counters are there, at 0, from the first scrape. `llm_ids` are the
    configured ones; given, any other shows as `_other` until one of its attempts succeeds, and
    not given, the first 200 show. Without `gateway` llms, breakers and memory are not exposed: the
    books are those of another application. `registry` holds the collectors of others that are exposed
    beside ours; without one, the process's own (`process_*`). Any method may be called from
    any thread.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        version: str,
        models: Iterable[Pair],
        registry: CollectorRegistry | None = None,
        endpoints: Iterable[str] = LLM_ENDPOINTS,
        llm_ids: Iterable[str] | None = None,
        gateway: bool = True,
    ) -> None:
        self._clock = clock
        self._is_gateway = gateway
        self._lock = threading.Lock()
        self._others = registry or _process_registry()
        self._internals = Internals(version)
        overflows = self._internals.overflows
        self._requests = Requests(overflows, endpoints)
        self._llm_ids = Vocabulary(
            "ailinux_circuit_breaker_state",
            "llm_id",
            overflows,
            known=llm_ids or (),
            cap=CAP if llm_ids is None else 0,
        )
        self._llms = Llms(overflows, self._llm_ids, models)
        self._breakers = Breakers(overflows, self._llm_ids)
        self._memories = Memories(overflows)
        self._audits = Audits()
        self._watched: dict[str, Callable[[], Callable[[], None]]] = {}
        self._blank: dict[str, Callable[[], None]] = {}
        self._internals.reloaded.show(clock.time())

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric, in the order in which it is exposed."""
        if not self._is_gateway:
            return (*self._requests.families, *self._audits.families, *self._internals.families)
        subjects = (self._requests, self._llms, self._breakers, self._memories, self._audits, self._internals)
        return tuple(family for subject in subjects for family in subject.families)

    def count(self, account: Account) -> None:
        """Enter one closed exchange and all its attempts. Call it exactly once for each."""
        example = (account.trace_id, self._clock.time()) if account.traced and account.trace_id else None
        with self._lock:
            if account.endpoint == EMBEDDINGS:
                self._memories.called(account)
            else:
                self._requests.count(account, example)
            if account.attempts:
                self._llms.count(account, example)
            if account.operation is not None:
                self._memories.count(account)

    def set_models(self, pairs: Iterable[Pair], llm_ids: Iterable[str] = ()) -> None:
        """Take up a new configuration: these pairs and llm_ids are the configured ones from now on."""
        with self._lock:
            self._llm_ids.know(llm_ids)
            self._llms.set_models(pairs)
            self._internals.reloaded.show(self._clock.time())

    def breaker_transition(self, llm_id: str, to: str) -> None:
        """Enter that the breaker of `llm_id` went `to` closed, open or half_open."""
        with self._lock:
            self._breakers.transition(llm_id, to)

    def audit_committed(self, records: int, seconds: float) -> None:
        """Enter one group commit: `records` made durable in `seconds`."""
        with self._lock:
            self._audits.committed(records, seconds)

    def audit_lost(self, records: int) -> None:
        """Enter records that will never be durable."""
        with self._lock:
            self._audits.lost(records)

    def auth_failure(self, reason: str) -> None:
        """Enter a refused key that no account tells of; `Account.auth_failure` is entered by `count`."""
        with self._lock:
            self._requests.auth_failure(reason)

    def key_revoked(self, seconds: float) -> None:
        """Enter how long one serving process still took a revoked key."""
        with self._lock:
            self._requests.revocation_lag.bind().observe(seconds)

    def event_loop_lag(self, seconds: float) -> None:
        """Enter how late one timer of an event loop fired."""
        with self._lock:
            self._internals.loop_lag.bind().observe(seconds)

    def watch(
        self,
        *,
        active_connections: Callable[[], int] | None = None,
        memory_entries: Callable[[], int | None] | None = None,
        memory_waiting: Callable[[], int | None] | None = None,
        breaker_states: Callable[[], Mapping[str, int]] | None = None,
        llm_in_flight: Callable[[], Mapping[Pair, int]] | None = None,
        dependencies: Callable[[], Mapping[str, float]] | None = None,
        tasks: Callable[[], int] | None = None,
        audit: Callable[[], AuditReadings] | None = None,
        certificate_end: Callable[[], float | None] | None = None,
    ) -> None:
        """Read these live values on every scrape; what is not given stays as it was.

        Readers are called from the scraping thread: they must not block, and must return a
        value that nobody changes afterwards. One that raises costs its own metric alone.
        """
        with self._lock:
            self._attach("ailinux_active_connections", active_connections, self._requests.active.show)
            self._attach("ailinux_memory_entries_total", memory_entries, self._memories.entries.show)
            self._attach("ailinux_memory_unembedded_entries", memory_waiting, self._memories.waiting.show)
            self._attach("ailinux_circuit_breaker_state", breaker_states, self._breakers.show)
            self._attach("ailinux_llm_in_flight", llm_in_flight, self._llms.show_in_flight)
            self._attach("ailinux_dependency_up", dependencies, self._internals.dependencies.show_each)
            self._attach("ailinux_event_loop_tasks", tasks, self._internals.tasks.show)
            self._attach("ailinux_audit_queue_records", audit, self._audits.show)
            self._attach(self._internals.certificate.name, certificate_end, self._internals.certificate.show)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """One scrape: its body, and its content type as the `Accept` header asks.

        Takes milliseconds where there are many series: call it in a thread.
        """
        started = self._clock.monotonic()
        form = negotiate(accept)
        body = compose(self._freeze(), self._others, form)
        with self._lock:
            self._internals.scrapes.bind().observe(self._clock.monotonic() - started)
        return body, form.value

    def collect(self) -> Iterable[Metric]:
        """Our families as the client library's own type, for a registry or a bridge of the caller's."""
        return [as_client_metric(family, frozen) for family, frozen in self._freeze()]

    def _attach(
        self, metric: str, read: Callable[[], _Read] | None, show: Callable[[_Read | None], None]
    ) -> None:
        if read is None:
            return
        self._internals.watch(metric)
        self._watched[metric] = lambda: partial(show, read())
        self._blank[metric] = lambda: show(None)

    def _freeze(self) -> list[tuple[Family, Frozen]]:
        readings = [self._look(metric, watched) for metric, watched in tuple(self._watched.items())]
        with self._lock:
            for show in readings:
                show()
            self._internals.clock.show(self._clock.time())
            return [(family, family.freeze()) for family in self.families]

    def _look(self, metric: str, watched: Callable[[], Callable[[], None]]) -> Callable[[], None]:
        """Read one live value, outside the lock; what is returned shows it, inside."""
        try:
            return watched()
        except Exception:  # noqa: BLE001 - one unreadable part must not blind the operator to all others
            _log.exception(
                "The live value behind %s could not be read; it is missing from this scrape.", metric
            )
            return partial(self._failed, metric)

    def _failed(self, metric: str) -> None:
        self._internals.reader_failed(metric)
        self._blank[metric]()


def _process_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry

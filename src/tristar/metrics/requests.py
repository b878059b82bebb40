"""HTTP requests: how many, how long, how much of it was the gateway's own time."""

from collections.abc import Iterable, Sequence
from typing import Final

from tristar.exchange import Account, Attempt
from tristar.metrics.family import FOLDED, Buckets, Cell, Counter, Example, Family, Gauge, Histogram
from tristar.metrics.labels import METHODS, OTHER_METHOD, Vocabulary

HTTP_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEAD_BOUNDS_S: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
REVOCATION_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300)
USUAL_STATUSES: Final = (200, 400, 401, 403, 404, 413, 429, 499, 500, 502, 503, 504)
AUTH_FAILURES: Final = ("missing", "unknown", "revoked", "expired", "throttled")

REJECTIONS: Final = (
    ("key", "gateway"),
    ("key_llm", "gateway"),
    ("budget", "gateway"),
    ("llm", "gateway"),
    ("llm", "provider"),
)
"""Whose limit it was, and who held it."""

_COUNT: Final = "ailinux_request_count"


class Requests:
    """The books of HTTP requests.

    `endpoints` are the routes that reach an llm: their usual series are there from the
    start, so that the first error is a rise from 0 and not a series without a past.
    """

    def __init__(self, overflows: Counter, endpoints: Iterable[str]) -> None:
        self._requests = Counter(_COUNT, "HTTP requests that ended.", ("endpoint", "method", "status"))
        self._latency = Histogram(
            "ailinux_request_latency_seconds",
            "From the arrival of a request to its last byte.",
            HTTP_BOUNDS_S,
            ("endpoint",),
        )
        self._overhead = Histogram(
            "ailinux_gateway_overhead_seconds",
            "Time of a request that was not spent in an upstream attempt.",
            OVERHEAD_BOUNDS_S,
            ("endpoint",),
        )
        self._rejections = Counter(
            "ailinux_rate_limit_rejections_total",
            "Requests refused by a limit, by whose limit it was.",
            ("scope", "rejected_by"),
        )
        self._auth_failures = Counter(
            "ailinux_auth_failures_total", "Requests refused for their key.", ("reason",)
        )
        self.revocation_lag = Histogram(
            "ailinux_key_revocation_lag_seconds",
            "From a key's revocation until a serving process refuses it.",
            REVOCATION_BOUNDS_S,
        )
        self.active = Gauge("ailinux_active_connections", "HTTP requests in progress, scrapes apart.")
        self._endpoints = Vocabulary(_COUNT, "endpoint", overflows)
        self._methods = Vocabulary(_COUNT, "method", overflows, known=METHODS, cap=0, other=OTHER_METHOD)
        self._statuses = Vocabulary(_COUNT, "status", overflows)
        self._scopes = Vocabulary(self._rejections.name, "scope", overflows)
        self._rejecters = Vocabulary(self._rejections.name, "rejected_by", overflows)
        self._reasons = Vocabulary(self._auth_failures.name, "reason", overflows, known=AUTH_FAILURES)
        self._bound: dict[tuple[str, str, int], tuple[Cell, Buckets, Buckets]] = {}
        self._lay_out(endpoints)

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return (
            self._requests,
            self._latency,
            self.active,
            self._overhead,
            self._rejections,
            self._auth_failures,
            self.revocation_lag,
        )

    def count(self, account: Account, example: Example | None = None) -> None:
        """Enter one closed exchange, its attempts apart."""
        key = (account.endpoint, account.method, account.status)
        requests, latency, overhead = self._bound.get(key) or self._bind(key)
        requests.value += 1
        duration_s, attempts = account.duration_s, account.attempts
        if example is None:
            latency.note(duration_s)
        else:
            latency.observe(duration_s, example)
        if attempts:
            own_s = duration_s - (attempts[0].duration_s if len(attempts) == 1 else _upstream_s(attempts))
            overhead.note(own_s if own_s > 0 else 0.0)
        if not requests.value % FOLDED:
            latency.fold()
            overhead.fold()
        if account.rejected_by is not None:
            self._reject(account.rejected_scope or "unknown", account.rejected_by)
        if account.auth_failure is not None:
            self.auth_failure(account.auth_failure)

    def auth_failure(self, reason: str) -> None:
        """Enter one refused key."""
        self._auth_failures.bind(self._reasons.admit(reason)).value += 1

    def _reject(self, scope: str, rejected_by: str) -> None:
        labels = self._scopes.admit(scope), self._rejecters.admit(rejected_by)
        self._rejections.bind(*labels).value += 1

    def _bind(self, key: tuple[str, str, int]) -> tuple[Cell, Buckets, Buckets]:
        raw = (key[0], key[1], str(key[2]))
        endpoint = self._endpoints.admit(raw[0])
        labels = (endpoint, self._methods.admit(raw[1]), self._statuses.admit(raw[2]))
        bound = (self._requests.bind(*labels), self._latency.bind(endpoint), self._overhead.bind(endpoint))
        if labels == raw:  # names that were refused are not remembered either: they have no bound
            self._bound[key] = bound
        return bound

    def _lay_out(self, endpoints: Iterable[str]) -> None:
        for endpoint in endpoints:
            for status in USUAL_STATUSES:
                self._bind((endpoint, "POST", status))
        for reason in AUTH_FAILURES:
            self._auth_failures.bind(reason)
        for scope, rejected_by in REJECTIONS:
            self._rejections.bind(self._scopes.admit(scope), self._rejecters.admit(rejected_by))


def _upstream_s(attempts: Sequence[Attempt]) -> float:
    """How long an upstream was waited for; hedged attempts overlap, and such time counts once."""
    total_s = ended_s = 0.0
    for attempt in attempts:
        end_s = attempt.started_s + attempt.duration_s
        if end_s > ended_s:
            total_s += end_s - max(attempt.started_s, ended_s)
            ended_s = end_s
    return total_s

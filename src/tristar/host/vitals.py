"""How each llm has fared of late, for those who look on: counts, latencies, its last errors."""

from collections import Counter, deque
from collections.abc import Sequence
from math import ceil
from typing import Final

import msgspec

from tristar.audit.record import timestamp
from tristar.clock import Clock
from tristar.exchange import Account, Attempt

WINDOW_S: Final = 300.0
"""Latencies are those of attempts that ended within this time, the last `SAMPLES` of them."""

SAMPLES: Final = 500
ERRORS: Final = 10
LLMS: Final = 2_000
"""An open provider's llms are named by clients: beyond so many, nothing is kept of further ones."""


class ErrorView(msgspec.Struct):
    """One attempt that failed."""

    at: str
    status: str
    error_type: str | None
    http_status: int | None
    trace_id: str | None


class Quantiles(msgspec.Struct):
    """Seconds, over `count` observations; None where there are none."""

    count: int
    p50_s: float | None
    p95_s: float | None


class VitalsView(msgspec.Struct):
    """One llm: attempts and errors since the start, latencies of the last minutes, errors newest first."""

    calls: int
    errors: int
    by_status: dict[str, int]
    latency: Quantiles
    first_token: Quantiles
    last_errors: list[ErrorView]


class _Vitals:
    __slots__ = ("errors", "statuses", "times")

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.times: deque[tuple[float, float, float | None]] = deque(maxlen=SAMPLES)
        self.errors: deque[tuple[float, Attempt, str | None]] = deque(maxlen=ERRORS)


class Vitals:
    """Of all processes of a host. Event-loop thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._llms: dict[str, _Vitals] = {}

    @property
    def llm_ids(self) -> Sequence[str]:
        """The llms of which anything is known."""
        return list(self._llms)

    def take(self, account: Account) -> None:
        """Attempts of one more call have ended."""
        for attempt in account.attempts:
            vitals = self._llms.get(attempt.llm_id)
            if vitals is None:
                if len(self._llms) >= LLMS:
                    continue
                vitals = self._llms[attempt.llm_id] = _Vitals()
            status = attempt.status
            vitals.statuses[status] += 1
            if status == "success":
                token_s = attempt.first_token_s if account.streamed else None
                vitals.times.append((self._clock.monotonic(), attempt.duration_s, token_s))
            elif status != "cancelled":
                vitals.errors.append((self._clock.time(), attempt, account.trace_id))

    def view(self, llm_id: str) -> VitalsView:
        """One llm as it is known now."""
        vitals = self._llms.get(llm_id) or _Vitals()
        since = self._clock.monotonic() - WINDOW_S
        recent = [(duration_s, token_s) for at, duration_s, token_s in vitals.times if at >= since]
        calls = vitals.statuses.total()
        return VitalsView(
            calls=calls,
            errors=calls - vitals.statuses["success"] - vitals.statuses["cancelled"],
            by_status=dict(vitals.statuses),
            latency=quantiles([duration_s for duration_s, _ in recent]),
            first_token=quantiles([token_s for _, token_s in recent if token_s is not None]),
            last_errors=[_error(*error) for error in reversed(vitals.errors)],
        )


def quantiles(seconds: Sequence[float]) -> Quantiles:
    """Median and 95th percentile by the nearest rank."""
    if not seconds:
        return Quantiles(0, None, None)
    ordered = sorted(seconds)
    count = len(ordered)
    return Quantiles(count, ordered[ceil(0.5 * count) - 1], ordered[ceil(0.95 * count) - 1])


def _error(at: float, attempt: Attempt, trace_id: str | None) -> ErrorView:
    return ErrorView(timestamp(at), attempt.status, attempt.error_type, attempt.http_status, trace_id)

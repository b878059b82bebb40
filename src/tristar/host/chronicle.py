"""How a host fared over time: slices of counts, fine for a quarter of an hour, coarse for a week."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tristar.exchange import Account
from tristar.metrics.memories import EMBEDDINGS
from tristar.metrics.requests import HTTP_BOUNDS_S

Span = Literal["15m", "4h", "7d"]

SPANS: Final[dict[Span, tuple[int, int]]] = {"15m": (5, 180), "4h": (60, 240), "7d": (1800, 336)}
"""How long a slice is, in seconds, and how many there are."""

FINE: Final[Span] = "15m"
RATE_S: Final = 10.0
SHARE_S: Final = 60.0
_COUNTED: Final = ("/v1/", "/mcp")
_UNCOUNTED: Final = "/v1/models"  # clients ask for it at their start: not the traffic that is meant


class Slice(msgspec.Struct, array_like=True):
    """What ended in one slice of time, and what was at its end (`in_flight`, `open`)."""

    at: float = 0.0
    seconds: float = 0.0
    requests: int = 0
    errors: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    cost_nanousd: int = 0
    records: int = 0
    in_flight: int = 0
    open: int = 0
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * (len(HTTP_BOUNDS_S) + 1))

    def add(self, later: "Slice") -> None:
        """Take in what follows."""
        self.at = later.at
        self.seconds += later.seconds
        self.requests += later.requests
        self.errors += later.errors
        self.tokens_input += later.tokens_input
        self.tokens_output += later.tokens_output
        self.cost_nanousd += later.cost_nanousd
        self.records += later.records
        self.in_flight = later.in_flight
        self.open = max(self.open, later.open)
        self.latency = [one + other for one, other in zip(self.latency, later.latency, strict=True)]


class Columns(msgspec.Struct):
    """Points of a chart, column by column; None where there was nothing to compute it from."""

    at: list[float]
    requests: list[float | None]
    errors: list[float | None]
    p50: list[float | None]
    p95: list[float | None]
    tokens_in: list[float | None]
    tokens_out: list[float | None]
    cost: list[float | None]
    in_flight: list[int | None]
    open: list[int | None]


@dataclass(slots=True)
class _Ring:
    step_s: int
    slices: deque[Slice]
    growing: Slice

    def add(self, fine: Slice) -> None:
        if self.growing.seconds and fine.at // self.step_s != self.growing.at // self.step_s:
            self.slices.append(self.growing)
            self.growing = Slice()
        self.growing.add(fine)

    def all(self) -> list[Slice]:
        return [*self.slices, *([self.growing] if self.growing.seconds else [])]


class Chronicle:
    """Fed with every closed exchange; `tick` ends a slice. Event-loop thread only."""

    def __init__(self, now: float) -> None:
        self._growing = Slice()
        self._began = now
        self._fine: deque[Slice] = deque(maxlen=SPANS[FINE][1])
        self._coarse = {
            span: _Ring(step_s, deque(maxlen=length), Slice())
            for span, (step_s, length) in SPANS.items()
            if span != FINE
        }

    def take(self, account: Account) -> None:
        """One more exchange was closed."""
        is_call = account.action == "llm_call"
        if not is_call and not _is_counted(account.endpoint):
            return
        growing = self._growing
        if account.endpoint != EMBEDDINGS:  # the memory's own calls, as in the metrics, are no requests
            growing.requests += 1
            growing.errors += account.status >= 500
            if is_call:
                growing.latency[bucket_of(account.duration_s)] += 1
        for attempt in account.attempts:
            growing.tokens_input += attempt.tokens_input
            growing.tokens_output += attempt.tokens_output
            growing.cost_nanousd += attempt.cost_nanousd

    def committed(self, records: int) -> None:
        """So many more records are durable."""
        self._growing.records += records

    def tick(self, now: float, in_flight: int, open_: int) -> None:
        """End the slice at `now`, seconds since the epoch. A clock that was set back begins a new one."""
        done, self._growing = self._current(now, in_flight, open_), Slice()
        self._began = now
        if done.seconds <= 0:
            return
        self._fine.append(done)
        for ring in self._coarse.values():
            ring.add(done)

    def lately(self, now: float, seconds: float, in_flight: int = 0, open_: int = 0) -> Slice:
        """What ended in about the last `seconds`, the slice that grows included."""
        whole = Slice()
        for each in self._fine:
            if each.at - each.seconds >= now - seconds - SPANS[FINE][0]:
                whole.add(each)
        whole.add(self._current(now, in_flight, open_))
        return whole

    def columns(self, span: Span, after: float = 0.0) -> Columns:
        """The points of this span that end behind `after`; a gap in time shows as one without values."""
        slices = self._fine if span == FINE else self._coarse[span].all()
        return columns((each for each in slices if each.at > after), SPANS[span][0])

    def dump(self) -> bytes:
        """Everything that is kept, to be restored after a restart."""
        rings = {span: ring.all() for span, ring in self._coarse.items()}
        return msgspec.msgpack.encode({**rings, FINE: list(self._fine)})

    def restore(self, raw: bytes, now: float) -> None:
        """Take over what another run kept, as far as it is not too old.

        Raises:
            ValueError: it is no such thing.
        """
        kept = msgspec.msgpack.decode(raw, type=dict[Span, list[Slice]])
        size = len(HTTP_BOUNDS_S) + 1
        for span, slices in kept.items():
            step_s, length = SPANS[span]
            good = [
                each
                for each in slices
                if now - step_s * length < each.at <= now and len(each.latency) == size
            ]
            (self._fine if span == FINE else self._coarse[span].slices).extend(good)

    def _current(self, now: float, in_flight: int, open_: int) -> Slice:
        current = msgspec.structs.replace(self._growing)
        current.at, current.seconds = now, now - self._began
        current.in_flight, current.open = in_flight, open_
        return current


def _is_counted(endpoint: str) -> bool:
    return endpoint.startswith(_COUNTED) and not endpoint.startswith(_UNCOUNTED)


def columns(slices: Iterable[Slice], step_s: float) -> Columns:
    """Slices as the points of charts."""
    found = Columns([], [], [], [], [], [], [], [], [], [])
    before: float | None = None
    for each in slices:
        begun = each.at - each.seconds
        if before is not None and begun - before > step_s / 2:
            _append(found, begun, None)
        _append(found, each.at, each)
        before = each.at
    return found


def _append(found: Columns, at: float, each: Slice | None) -> None:
    found.at.append(round(at, 3))
    found.requests.append(None if each is None else rate(each.requests, each))
    found.errors.append(None if each is None else share(each))
    found.p50.append(None if each is None else quantile(0.5, each.latency))
    found.p95.append(None if each is None else quantile(0.95, each.latency))
    found.tokens_in.append(None if each is None else rate(each.tokens_input, each))
    found.tokens_out.append(None if each is None else rate(each.tokens_output, each))
    found.cost.append(None if each is None else cost_per_hour(each))
    found.in_flight.append(None if each is None else each.in_flight)
    found.open.append(None if each is None else each.open)


def rate(count: float, within: Slice) -> float:
    """So many per second."""
    return _short(count / within.seconds) if within.seconds > 0 else 0.0


def share(of: Slice) -> float | None:
    """Server errors among the requests."""
    return _short(of.errors / of.requests) if of.requests else None


def cost_per_hour(of: Slice) -> float:
    """US dollars per hour, at this pace."""
    return rate(of.cost_nanousd * 3600 / 1e9, of)


def bucket_of(seconds: float) -> int:
    """The place of a latency among the buckets."""
    return bisect_left(HTTP_BOUNDS_S, seconds)


def quantile(of: float, counts: Sequence[int]) -> float | None:
    """As Prometheus' `histogram_quantile` has it: linear within a bucket, the highest bound beyond it."""
    total = sum(counts)
    if not total:
        return None
    rank, reached = of * total, 0
    for index, count in enumerate(counts[:-1]):
        if count and reached + count >= rank:
            lower = HTTP_BOUNDS_S[index - 1] if index else 0.0
            return _short(lower + (HTTP_BOUNDS_S[index] - lower) * (rank - reached) / count)
        reached += count
    return float(HTTP_BOUNDS_S[-1])


def _short(value: float) -> float:
    """Six digits that matter: what is drawn needs no more."""
    return float(f"{value:.6g}")

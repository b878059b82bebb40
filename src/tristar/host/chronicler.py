"""Keeps the chronicle of a host: ends its slices, saves it, tells those who look on how things are."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog

from tristar.errors import Unavailable
from tristar.host.chronicle import (
    FINE,
    RATE_S,
    SHARE_S,
    SPANS,
    Chronicle,
    Columns,
    Span,
    cost_per_hour,
    quantile,
    rate,
    share,
)
from tristar.host.hub import Hub
from tristar.routing.breaker import State

HISTORY_FILE: Final = "history.msgpack"
SAVE_EVERY_S: Final = 60.0
COUNT_EVERY_S: Final = 10.0
_NAMED: Final = 50

_log = structlog.get_logger("tristar.host")


class AuditNow(msgspec.Struct):
    """The audit log at this moment; `lost` since the start."""

    records_per_s: float
    queue: int
    lost: int
    verified: bool | None


class BreakersNow(msgspec.Struct):
    """Which llms are kept out, and which are being tried; the first of each."""

    open: list[str]
    half_open: list[str]


class Now(msgspec.Struct):
    """How things are: rates of the last 10 s, shares and quantiles of the last minute."""

    at: float
    requests: float
    errors: float | None
    p50: float | None
    p95: float | None
    tokens_in: float
    tokens_out: float
    cost: float
    in_flight: int
    open: int
    memory_entries: int | None
    breakers: BreakersNow
    audit: AuditNow


class HistoryView(msgspec.Struct):
    """The points of one span, `length` at the most, each of `step_s`."""

    span: Span
    step_s: int
    length: int
    columns: Columns
    now: Now


class PulseView(msgspec.Struct):
    """How things are, and the fine points that came since."""

    now: Now
    points: Columns


class Chronicler:
    """In the process that holds the hub. Event-loop thread only."""

    def __init__(
        self,
        hub: Hub,
        directory: Path,
        *,
        calls_in_progress: Callable[[], int],
        queued: Callable[[], int],
        verified: Callable[[], bool | None],
        count_memory: Callable[[], Awaitable[int | None]],
    ) -> None:
        self._hub = hub
        self._path = directory / HISTORY_FILE
        self._calls_in_progress = calls_in_progress
        self._queued = queued
        self._verified = verified
        self._count_memory = count_memory
        self._memory_entries: int | None = None
        self._counted_at = float("-inf")
        self.chronicle = Chronicle(hub.clock.time())

    def open(self) -> None:
        """Take over what an earlier run saved; what cannot be read is left behind."""
        try:
            self.chronicle.restore(self._path.read_bytes(), self._hub.clock.time())
        except FileNotFoundError:
            pass  # the first start
        except (OSError, ValueError) as error:
            _log.warning("the console's history begins anew", reason=str(error))
        self._hub.chronicle = self.chronicle

    async def run(self) -> None:
        """End a slice every few seconds, save every minute, until cancelled."""
        saved = self._hub.clock.monotonic()
        while True:
            await asyncio.sleep(SPANS[FINE][0])
            self.tick()
            if self._hub.clock.monotonic() - saved >= SAVE_EVERY_S:
                saved = self._hub.clock.monotonic()
                await asyncio.to_thread(self._save, self.chronicle.dump())

    def tick(self) -> None:
        """End the slice that grows."""
        self.chronicle.tick(self._hub.clock.time(), self._calls_in_progress(), len(self._breakers().open))

    def close(self) -> None:
        """End the last slice and save everything."""
        self.tick()
        self._save(self.chronicle.dump())

    async def history(self, span: Span) -> HistoryView:
        """The points of one span, and how things are now."""
        step_s, length = SPANS[span]
        return HistoryView(span, step_s, length, self.chronicle.columns(span), await self._now())

    async def pulse(self, after: float) -> PulseView:
        """How things are now, and the fine points that end behind `after`, seconds since the epoch."""
        return PulseView(await self._now(), self.chronicle.columns(FINE, after))

    async def _now(self) -> Now:
        now = self._hub.clock.time()
        short = self.chronicle.lately(now, RATE_S)
        long = self.chronicle.lately(now, SHARE_S)
        breakers = self._breakers()
        return Now(
            at=round(now, 3),
            requests=rate(short.requests, short),
            errors=share(long),
            p50=quantile(0.5, long.latency),
            p95=quantile(0.95, long.latency),
            tokens_in=rate(short.tokens_input, short),
            tokens_out=rate(short.tokens_output, short),
            cost=cost_per_hour(long),
            in_flight=self._calls_in_progress(),
            open=len(breakers.open),
            memory_entries=await self._memory(),
            breakers=BreakersNow(breakers.open[:_NAMED], breakers.half_open[:_NAMED]),
            audit=AuditNow(rate(short.records, short), self._queued(), self._hub.lost, self._verified()),
        )

    def _breakers(self) -> BreakersNow:
        states: Mapping[str, State] = self._hub.board.states()
        found = BreakersNow([], [])
        for llm_id, state in states.items():
            if state is State.OPEN:
                found.open.append(llm_id)
            elif state is State.HALF_OPEN:
                found.half_open.append(llm_id)
        return found

    async def _memory(self) -> int | None:
        """Counted now and then while somebody looks; None while the store is away."""
        if self._hub.clock.monotonic() - self._counted_at >= COUNT_EVERY_S:
            self._counted_at = self._hub.clock.monotonic()
            try:
                self._memory_entries = await self._count_memory()
            except Unavailable:
                self._memory_entries = None
        return self._memory_entries

    def _save(self, raw: bytes) -> None:
        """Replace the file at once; a disk that refuses costs the history after a restart, and no more."""
        draft = self._path.with_suffix(".new")
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(raw)
            draft.replace(self._path)
        except OSError as error:
            _log.warning("the console's history could not be saved", reason=str(error))

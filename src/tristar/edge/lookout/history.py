"""`/admin/history`: how the host fared over time, and as it goes; what the console draws."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from tristar.auth.actor import Actor
from tristar.edge.access import RECHECK, refusals, requires
from tristar.edge.lookout.calls import Look, Viewers
from tristar.edge.stream import Stream
from tristar.errors import GatewayError, NotFound

Watcher = Annotated[Actor, Depends(requires("metrics"))]
Span = Literal["15m", "4h", "7d"]
After = Annotated[int, Query(ge=0, lt=1 << 53, description="Milliseconds since the epoch.")]

EVERY_S: Final = 2.0

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An event `pulse` every two seconds: `now` as in GET /admin/history, in `points` the "
        "columns of what was added to `15m`; `end` where the key ended or the gateway shuts down.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
_Values = list[float | None]


class ColumnsOut(BaseModel):
    """The points of a chart, column by column; null where there was nothing to compute a value from."""

    at: list[float] = Field(description="Seconds since the epoch; the end of each slice.")
    requests: _Values = Field(description="Per second: calls, memory and MCP.")
    errors: _Values = Field(description="The share of them that ended in 5xx.")
    p50: _Values = Field(description="Seconds; of calls.")
    p95: _Values
    tokens_in: _Values = Field(description="Per second.")
    tokens_out: _Values
    cost: _Values = Field(description="US dollars per hour at this pace, as far as prices are known.")
    in_flight: list[int | None] = Field(description="Calls in progress.")
    open: list[int | None] = Field(description="Open breakers.")


class AuditNowOut(BaseModel):
    """The audit log at this moment."""

    records_per_s: float
    queue: int = Field(description="Records that wait for their commit.")
    lost: int = Field(description="Since the start.")
    verified: bool | None = Field(description="What the last verification here found; null before the first.")


class BreakersNowOut(BaseModel):
    """Llms that are kept out, and those that are being tried; the first 50 of each."""

    open: list[str]
    half_open: list[str]


class NowOut(BaseModel):
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
    memory_entries: int | None = Field(description="null: the store is away.")
    breakers: BreakersNowOut
    audit: AuditNowOut


class HistoryOut(BaseModel):
    """One span of time, of all processes of this host; it outlives a restart."""

    span: Span
    step_s: int
    length: int = Field(description="So many points are kept.")
    columns: ColumnsOut
    now: NowOut


def router(look: Look, is_draining: Callable[[], bool], *, measured: bool) -> APIRouter:
    """The routes; 404 where nothing is `measured`. The front has authenticated the caller before."""
    routes = APIRouter(prefix="/admin/history", tags=["admin"])
    handlers = _History(look, is_draining, measured=measured)
    add = routes.add_api_route
    add("", handlers.read, methods=["GET"], response_model=HistoryOut, responses=refusals(404))
    add(
        "/stream",
        handlers.followed,
        methods=["GET"],
        response_class=Response,
        responses=refusals(404) | _STREAM,
    )
    return routes


class _History:
    def __init__(self, look: Look, is_draining: Callable[[], bool], *, measured: bool) -> None:
        self._look = look
        self._is_draining = is_draining
        self._measured = measured
        self._viewers = Viewers()

    async def read(self, _: Watcher, span: Span = "15m") -> Response:
        """Requests, errors, latencies, tokens, cost, calls in flight and open breakers over time."""
        self._check()
        return Response(await self._look(span, 0, 0), media_type="application/json")

    async def followed(self, request: Request, _: Watcher, after: After = 0) -> Response:
        """The same as it goes, as server-sent events, until the client leaves or the key ends."""
        self._check()
        recheck: Callable[[], Actor] = request.scope[RECHECK]
        seat = self._viewers.seat()

        async def events() -> AsyncIterator[bytes]:
            with seat:
                async for event in self._pulses(recheck, after):
                    yield event

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Stream(events(), media_type="text/event-stream", headers=headers)

    async def _pulses(self, recheck: Callable[[], Actor], after: int) -> AsyncIterator[bytes]:
        while not self._is_draining():
            try:
                if not recheck().allows("metrics"):
                    break
                body = await self._look("pulse", after, 0)
            except GatewayError as error:
                yield b"event: end\ndata: %b\n\n" % msgspec.json.encode({"reason": error.message})
                return
            after = _last(body) or after
            yield b"event: pulse\ndata: %b\n\n" % body
            await asyncio.sleep(EVERY_S)
        yield b'event: end\ndata: {"reason":"The gateway shuts down, or the key has changed."}\n\n'

    def _check(self) -> None:
        if not self._measured:
            raise NotFound("Metrics are switched off (METRICS_ENABLED=false): there is no history.")


class _Points(msgspec.Struct):
    at: list[float]


class _Seen(msgspec.Struct):
    """What is read of a pulse, which is passed on as it is."""

    points: _Points


def _last(body: bytes) -> int | None:
    """When the last of its points ends, in milliseconds; a point may come twice, and none is left out."""
    at = msgspec.json.decode(body, type=_Seen).points.at
    return int(at[-1] * 1000) if at else None

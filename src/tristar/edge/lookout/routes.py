"""`/admin/llms`, `limits`, `dependencies`, `memory`, `calls`: true at any number of workers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tristar.auth.actor import Actor
from tristar.edge.access import RECHECK, exchange, refusals, requires
from tristar.edge.health import Dependency, summary
from tristar.edge.lookout.calls import Feed, Viewers
from tristar.edge.lookout.models import CallsOut, DependenciesOut, LimitsOut, LlmsOut, MemoryOut
from tristar.edge.stream import Stream
from tristar.exchange import Exchange
from tristar.memory.entry import Caller
from tristar.memory.store import Store

Admin = Annotated[Actor, Depends(requires("admin"))]
Story = Annotated[Exchange, Depends(exchange)]
Limit = Annotated[int, Query(ge=1, le=1_000)]
After = Annotated[int, Query(ge=0, lt=1 << 62, description="`next_after` of an earlier answer.")]
Check = Callable[[], Awaitable[Mapping[str, Dependency]]]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `calls` whose data is as of GET /admin/calls; `end` where the key ended.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


class Lookout(Protocol):
    """What can be seen of a host."""

    async def look(self, what: str, after: int = 0, limit: int = 0) -> bytes:
        """One view as JSON: `llms`, `limits` (the first `limit`), `calls` (`limit` behind `after`), `turns`,
        `15m`, `4h`, `7d` (its history), `pulse` (behind `after`, in milliseconds).

        Raises:
            Unavailable: the host cannot be reached, or cannot tell now.
        """
        ...


def router(
    lookout: Lookout,
    store: Store,
    dependencies: Check,
    kinds: Callable[[str], str],
    is_draining: Callable[[], bool],
) -> APIRouter:
    """The routes. The front has authenticated the caller before they are reached."""
    routes = APIRouter(prefix="/admin", tags=["admin"])
    handlers = _Views(lookout, store, dependencies, kinds, is_draining)
    for path, handler, model in (
        ("/llms", handlers.llms, LlmsOut),
        ("/limits", handlers.limits, LimitsOut),
        ("/dependencies", handlers.dependencies, DependenciesOut),
        ("/memory", handlers.memory, MemoryOut),
        ("/calls", handlers.calls, CallsOut),
    ):
        routes.add_api_route(path, handler, methods=["GET"], response_model=model, responses=refusals())
    routes.add_api_route(
        "/calls/stream",
        handlers.followed,
        methods=["GET"],
        response_class=Response,
        responses=refusals() | _STREAM,
    )
    return routes


class _Views:
    def __init__(
        self,
        lookout: Lookout,
        store: Store,
        dependencies: Check,
        kinds: Callable[[str], str],
        is_draining: Callable[[], bool],
    ) -> None:
        self._lookout = lookout
        self._store = store
        self._dependencies = dependencies
        self._kinds = kinds
        self._is_draining = is_draining
        self._viewers = Viewers()

    async def llms(self, _: Admin) -> Response:
        """Every llm: its breaker, what is in flight, latencies, last errors, limits and their use."""
        return _answer(await self._lookout.look("llms"))

    async def limits(self, _: Admin, limit: Limit = 100) -> Response:
        """How much keys and llms use of their limits, the nearest to one first.

        Keys are there once this host has met them, after its start; of very many, the last 1,000.
        """
        return _answer(await self._lookout.look("limits", 0, limit))

    async def dependencies(self, _: Admin) -> Response:
        """What the gateway leans on: how it fares, since when, and its last turns."""
        found = await self._dependencies()
        told = msgspec.json.decode(await self._lookout.look("turns"))
        data = []
        for name, part in found.items():
            turns = told["turns"].get(name, [])
            since = turns[0]["at"] if turns else told["started_at"]
            row = {"name": name, "kind": self._kinds(name), **part.model_dump()}
            data.append(row | {"since": since, "transitions": turns})
        status = summary(found, draining=self._is_draining())
        return _answer(msgspec.json.encode({"status": status, "data": data}))

    async def memory(self, actor: Admin, story: Story, limit: Limit = 100) -> Response:
        """How many entries there are, by project and type, and what the sweeper did."""
        counts = await self._store.census(Caller(actor.key_id, story.trace_id, actor.projects))
        total = sum(each.entries for each in counts)
        told = msgspec.json.decode(await self._lookout.look("turns"))
        data = [{"project": each.project, "type": each.type, "entries": each.entries} for each in counts]
        body = {
            "entries": total,
            "data": data[:limit],
            "more": max(0, len(data) - limit),
            "sweeper": {"last_at": told["swept_at"], "deleted": told["swept_entries"]},
        }
        return _answer(msgspec.json.encode(body))

    async def calls(self, _: Admin, after: After = 0, limit: Limit = 100) -> Response:
        """The calls that ended last, and those in progress."""
        return _answer(await self._lookout.look("calls", after, limit))

    async def followed(self, request: Request, _: Admin, after: After = 0) -> Response:
        """Calls as they end, as server-sent events, until the client leaves or the key ends."""
        recheck: Callable[[], Actor] = request.scope[RECHECK]
        feed = Feed(self._lookout.look, recheck, self._is_draining)
        seat = self._viewers.seat()

        async def events() -> AsyncIterator[bytes]:
            with seat:
                async for event in feed.events(after):
                    yield event

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Stream(events(), media_type="text/event-stream", headers=headers)


def _answer(body: bytes) -> Response:
    return Response(body, media_type="application/json")

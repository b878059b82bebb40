"""`/v1/memory`: the shared memory over REST."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from tristar.auth.actor import Actor
from tristar.edge.access import exchange, refusals, requires
from tristar.edge.direct import Route
from tristar.edge.memory import bodies
from tristar.edge.memory.bodies import (
    Conditions,
    EntryChange,
    EntryOut,
    FoundList,
    Imported,
    ImportedEntry,
    NewEntry,
    Opinion,
    RevisionList,
    Search,
    SearchBody,
)
from tristar.edge.memory.desk import Desk
from tristar.edge.stream import Stream
from tristar.errors import BadRequest
from tristar.exchange import Exchange
from tristar.memory.entry import Draft, Entry, Page, Vote, check_draft

IMPORT_LINES = 1000
_LINES = "application/x-ndjson"
_EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One entry per line.",
        "content": {_LINES: {"schema": {"type": "string"}}},
    }
}

Reader = Annotated[Actor, Depends(requires("memory:read"))]
Writer = Annotated[Actor, Depends(requires("memory:write"))]
Story = Annotated[Exchange, Depends(exchange)]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=64, description='The version as last read, `"3"` say: else 412.'),
]


def router(desk: Desk) -> APIRouter:
    """The routes of the memory. The front has authenticated the caller before they are reached."""
    routes = APIRouter(prefix="/v1/memory", tags=["memory"])
    memory = _Routes(desk)
    one, some = EntryOut, FoundList
    for path, handler, method, status, model, statuses in (
        ("", memory.add, "POST", 201, one, ()),
        ("", memory.listed, "GET", 200, some, ()),
        ("/import", memory.imported, "POST", 201, Imported, ()),
        ("/export", memory.exported, "GET", 200, None, ()),
        ("/search", memory.searched, "GET", 200, some, ()),
        ("/search", memory.searched_by_body, "POST", 200, some, ()),
        ("/{entry_id}", memory.read, "GET", 200, one, (404,)),
        ("/{entry_id}", memory.change, "PATCH", 200, one, (404, 412)),
        ("/{entry_id}", memory.remove, "DELETE", 204, None, (404, 412)),
        ("/{entry_id}/history", memory.history, "GET", 200, RevisionList, (404,)),
        ("/{entry_id}/validate", memory.validate, "POST", 200, one, (404,)),
        ("/{entry_id}/contradict", memory.contradict, "POST", 200, one, (404,)),
    ):
        routes.add_api_route(
            path,
            handler,
            methods=[method],
            status_code=status,
            response_model=model,
            responses=refusals(*statuses) | (_EXPORTED if handler == memory.exported else {}),
        )
    return routes


def direct(desk: Desk) -> Sequence[Route[Any]]:
    """Those of the routes that are called most, as the front of FastAPI serves them."""
    memory, lists = _Routes(desk), frozenset({"tags"})
    return (
        Route("GET", "/v1/memory", "memory:read", Conditions, memory.listed, lists),
        Route("GET", "/v1/memory/search", "memory:read", Search, memory.searched, lists),
        Route("POST", "/v1/memory/search", "memory:read", SearchBody, memory.searched_by_body),
        Route("POST", "/v1/memory", "memory:write", NewEntry, memory.add),
    )


class _Routes:
    """The handlers: what is asked in, what the desk says out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def add(self, body: NewEntry, actor: Writer, story: Story) -> Response:
        """Remember something."""
        entry = await self._desk.add(bodies.draft(body), actor, story)
        return _answer(bodies.shown(entry), entry, status=201)

    async def listed(
        self, conditions: Annotated[Conditions, Query()], actor: Reader, story: Story
    ) -> Response:
        """Entries that fit every condition, newest first."""
        return _answer(bodies.listed(await self._desk.find(bodies.wanted(conditions), actor, story)))

    async def searched(self, search: Annotated[Search, Query()], actor: Reader, story: Story) -> Response:
        """Entries that hold these words and fit every condition, best first."""
        return await self._search(search, actor, story)

    async def searched_by_body(self, body: SearchBody, actor: Reader, story: Story) -> Response:
        """The same search, asked for in a body."""
        return await self._search(body, actor, story)

    async def _search(self, search: Search, actor: Actor, story: Exchange) -> Response:
        page = await self._desk.find(bodies.wanted(search, search.q, search.mode), actor, story)
        return _answer(bodies.listed(page))

    async def imported(self, request: Request, actor: Writer, story: Story) -> Response:
        """Remember many entries, one JSON object per line (`application/x-ndjson`): all of them, or none."""
        entries = await self._desk.add_all(_drafts(await request.body()), actor, story)
        return _answer({"imported": len(entries), "ids": [entry.id for entry in entries]}, status=201)

    async def exported(
        self, conditions: Annotated[Conditions, Query()], actor: Reader, story: Story
    ) -> Stream:
        """Every entry that fits, newest first, one JSON object per line; `limit` is the size of a portion."""
        pages = self._desk.export(bodies.wanted(conditions), actor, story)
        first = await anext(pages)  # what is refused is refused before the answer begins

        async def lines() -> AsyncIterator[bytes]:
            yield _lines_of(first)
            async for page in pages:
                yield _lines_of(page)

        return Stream(lines(), media_type=_LINES)

    async def read(self, entry_id: str, actor: Reader, story: Story) -> Response:
        """One entry; its version is the `ETag`."""
        entry = await self._desk.get(entry_id, actor, story)
        return _answer(bodies.shown(entry), entry)

    async def change(
        self, entry_id: str, body: EntryChange, actor: Writer, story: Story, if_match: IfMatch = None
    ) -> Response:
        """Change some fields; what it was stays in the history."""
        entry = await self._desk.change(entry_id, bodies.change(body), actor, story, _version(if_match))
        return _answer(bodies.shown(entry), entry)

    async def remove(self, entry_id: str, actor: Writer, story: Story, if_match: IfMatch = None) -> Response:
        """Forget an entry with its history, for good."""
        await self._desk.remove(entry_id, actor, story, _version(if_match))
        return Response(status_code=204)

    async def history(self, entry_id: str, actor: Reader, story: Story) -> Response:
        """Every version of an entry, oldest first."""
        revisions = await self._desk.history(entry_id, actor, story)
        return _answer({"data": [bodies.past(revision) for revision in revisions], "next_cursor": None})

    async def validate(self, entry_id: str, body: Opinion, actor: Writer, story: Story) -> Response:
        """An llm confirms the entry: confidence rises by 0.05."""
        return await self._vote(entry_id, "validate", body, actor, story)

    async def contradict(self, entry_id: str, body: Opinion, actor: Writer, story: Story) -> Response:
        """An llm contradicts the entry: confidence falls by 0.1."""
        return await self._vote(entry_id, "contradict", body, actor, story)

    async def _vote(
        self, entry_id: str, vote: Vote, body: Opinion, actor: Actor, story: Exchange
    ) -> Response:
        entry = await self._desk.vote(entry_id, vote, body.llm_id, actor, story)
        return _answer(bodies.shown(entry), entry)


def _drafts(body: bytes) -> list[Draft]:
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not 0 < len(lines) <= IMPORT_LINES:
        raise BadRequest(f"An import has 1 to {IMPORT_LINES} lines; this one has {len(lines)}.", param="body")
    return [_draft(number, line) for number, line in lines]


def _draft(number: int, line: bytes) -> Draft:
    try:
        entry = ImportedEntry.model_validate_json(line)
        draft = bodies.imported(entry)
        check_draft(draft)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadRequest(
            f"Line {number}: {field or 'it'}: {first['msg'][:200]}.", param=field or None
        ) from error
    except BadRequest as error:
        raise BadRequest(f"Line {number}: {error.message}", param=error.param) from error
    return draft


def _lines_of(page: Page) -> bytes:
    return b"".join(msgspec.json.encode(bodies.shown(found.entry)) + b"\n" for found in page.found)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest('If-Match must be the version as last read, "3" say.', param="If-Match")
    return int(digits)


def _answer(body: object, entry: Entry | None = None, status: int = 200) -> Response:
    headers = None if entry is None else {"etag": f'"{entry.version}"'}
    return Response(msgspec.json.encode(body), status, headers, "application/json")

"""`/v1/memory`: the shared memory over REST."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tristar.auth.actor import Actor
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.errors import BadRequest
from tristar.exchange import Exchange
from tristar.memory.entry import (
    CONTENT_BYTES,
    LARGEST_PAGE,
    LONGEST_TTL_S,
    NAME_CHARS,
    QUERY_CHARS,
    TAGS,
    VOTE_EDIT,
    Caller,
    Change,
    Draft,
    Edit,
    Entry,
    EntryType,
    Page,
    Revision,
    Vote,
    check_draft,
    content_hash,
)
from tristar.memory.entry import Query as Wanted
from tristar.memory.store import Store

IMPORT_LINES = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = 'Words that must all be there; `"in sequence"`, `begin*`, `-without`.'

Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Content = Annotated[
    str, Field(min_length=1, max_length=CONTENT_BYTES, description="At most 256 KiB of UTF-8.")
]
Tags = Annotated[list[Name], Field(max_length=TAGS)]
Lifetime = Annotated[float, Field(gt=0, le=LONGEST_TTL_S, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=LARGEST_PAGE)]
Cursor = Annotated[str, Field(max_length=200, description="`next_cursor` of the page before.")]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NewEntry(_Body):
    """Something to remember."""

    content: Content
    type: EntryType = "fact"
    project: Name | None = Field(
        default=None, description="Without one: the key's only project, or `default`."
    )
    tags: Tags = []
    importance: Share = 0.5
    confidence: Share = 0.5
    llm_id: Name | None = Field(default=None, description="The llm that this comes from.")
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it is forgotten; null: never.")


class Imported(BaseModel):
    """What came of an import."""

    imported: int
    ids: list[str] = Field(description="In the order of the lines.")


class EntryChange(_Body):
    """The fields to change; others stay. `ttl_s: null` removes the end."""

    content: Content | None = None
    type: EntryType | None = None
    project: Name | None = None
    tags: Tags | None = None
    importance: Share | None = None
    confidence: Share | None = None
    llm_id: Name | None = Field(default=None, description="The llm that the change comes from.")
    ttl_s: Lifetime | None = None


class Conditions(BaseModel):
    """Which entries; every condition must hold."""

    model_config = ConfigDict(extra="forbid")

    type: EntryType | None = None
    project: Name | None = None
    tags: Tags = Field(default=[], description="All of them; in a query repeated, or with commas.")
    min_confidence: Share | None = None
    limit: Limit = 20
    cursor: Cursor | None = None


class Search(Conditions):
    """Which entries, and the words in them."""

    q: Annotated[str, Field(max_length=QUERY_CHARS, description=_WORDS)] | None = None


class SearchBody(Search):
    """A search as a body."""

    model_config = ConfigDict(strict=True)


class Opinion(_Body):
    """An llm's word on an entry; it counts once per llm and content."""

    llm_id: Name


class EntryOut(BaseModel):
    """An entry as it is now."""

    id: str
    object: Literal["memory"] = "memory"
    content: str
    type: EntryType
    project: str
    tags: list[str]
    importance: float
    confidence: float
    created_by: str = Field(description="The id of the key that made it.")
    llm_id: str | None
    trace_id: str = Field(description="The trace in which it was made.")
    version: int
    content_hash: str = Field(description="sha256: and 64 hex digits; the audit log names content by it.")
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None


class FoundOut(EntryOut):
    """An entry that fits a search."""

    score: float | None = Field(description="Grows with relevance, within one search; null without words.")


class FoundList(BaseModel):
    """A page of what fits: best first where words were asked for, else newest first."""

    data: list[FoundOut]
    next_cursor: str | None


class RevisionOut(BaseModel):
    """What an entry was at one version."""

    version: int
    change: Edit
    content: str
    type: EntryType
    project: str
    tags: list[str]
    importance: float
    confidence: float
    changed_by: str
    llm_id: str | None
    trace_id: str
    content_hash: str
    changed_at: datetime
    expires_at: datetime | None


class RevisionList(BaseModel):
    """Every version, oldest first."""

    data: list[RevisionOut]
    next_cursor: None


Reader = Annotated[Actor, Depends(requires("memory:read"))]
Writer = Annotated[Actor, Depends(requires("memory:write"))]
Story = Annotated[Exchange, Depends(exchange)]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=64, description='The version as last read, `"3"` say: else 412.'),
]


def router(store: Store, events: Events) -> APIRouter:
    """The routes of the memory. The front has authenticated the caller before they are reached."""
    routes = APIRouter(prefix="/v1/memory", tags=["memory"])
    memory = _Memory(store, events)
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
            responses=refusals(*statuses),
        )
    return routes


class _Memory:
    """The handlers: what is asked in, what the store says out, and a record of it."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events

    async def add(self, body: NewEntry, actor: Writer, story: Story) -> Response:
        """Remember something."""
        fields = body.model_dump()
        entry = await self._store.add(Draft(**fields | {"tags": tuple(body.tags)}), _caller(actor, story))
        return await self._written(entry, "created", story, status=201)

    async def listed(
        self, conditions: Annotated[Conditions, Query()], actor: Reader, story: Story
    ) -> Response:
        """Entries that fit every condition, newest first."""
        return await self._find(_wanted(conditions), actor, story)

    async def searched(self, search: Annotated[Search, Query()], actor: Reader, story: Story) -> Response:
        """Entries that hold these words and fit every condition, best first."""
        return await self._find(_wanted(search, search.q), actor, story)

    async def searched_by_body(self, body: SearchBody, actor: Reader, story: Story) -> Response:
        """The same search, asked for in a body."""
        return await self._find(_wanted(body, body.q), actor, story)

    async def imported(self, request: Request, actor: Writer, story: Story) -> Response:
        """Remember many entries, one JSON object per line (`application/x-ndjson`): all of them, or none."""
        entries = await self._store.add_all(_drafts(await request.body()), _caller(actor, story))
        ids = [entry.id for entry in entries]
        trail = {"ids": ids, "content_hashes": [entry.content_hash for entry in entries], "change": "created"}
        await self._events.record("memory_written", "/v1/memory/import", trail, story)
        return _answer({"imported": len(ids), "ids": ids}, status=201)

    async def exported(
        self, conditions: Annotated[Conditions, Query()], actor: Reader, story: Story
    ) -> StreamingResponse:
        """Every entry that fits, newest first, one JSON object per line; `limit` is the size of a portion."""
        lines = self._export(_wanted(conditions), actor, story)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def _export(self, wanted: Wanted, actor: Actor, story: Exchange) -> AsyncIterator[bytes]:
        while True:
            page = await self._store.find(wanted, _caller(actor, story))
            await self._record_found(page, "/v1/memory/export", story)
            yield b"".join(msgspec.json.encode(_shown(found.entry)) + b"\n" for found in page.found)
            if page.next_cursor is None:
                return
            wanted = replace(wanted, cursor=page.next_cursor)

    async def read(self, entry_id: str, actor: Reader, story: Story) -> Response:
        """One entry; its version is the `ETag`."""
        entry = await self._store.get(entry_id, _caller(actor, story))
        await self._events.record("memory_read", _resource(entry), _trail(entry), story)
        return _answer(_shown(entry), entry)

    async def change(
        self, entry_id: str, body: EntryChange, actor: Writer, story: Story, if_match: IfMatch = None
    ) -> Response:
        """Change some fields; what it was stays in the history."""
        fields = body.model_dump() | {
            "tags": None if body.tags is None else tuple(body.tags),
            "keep": "ttl_s" in body.model_fields_set and body.ttl_s is None,
        }
        entry = await self._store.change(
            entry_id, Change(**fields), _caller(actor, story), _version(if_match)
        )
        return await self._written(entry, "updated", story)

    async def remove(self, entry_id: str, actor: Writer, story: Story, if_match: IfMatch = None) -> Response:
        """Forget an entry with its history, for good."""
        entry = await self._store.remove(entry_id, _caller(actor, story), _version(if_match))
        await self._events.record("memory_deleted", _resource(entry), _trail(entry), story)
        return Response(status_code=204)

    async def history(self, entry_id: str, actor: Reader, story: Story) -> Response:
        """Every version of an entry, oldest first."""
        revisions = await self._store.history(entry_id, _caller(actor, story))
        trail = {"id": entry_id, "content_hashes": sorted({revision.content_hash for revision in revisions})}
        await self._events.record("memory_read", f"/v1/memory/{entry_id}/history", trail, story)
        return _answer({"data": [_past(revision) for revision in revisions], "next_cursor": None})

    async def validate(self, entry_id: str, body: Opinion, actor: Writer, story: Story) -> Response:
        """An llm confirms the entry: confidence rises by 0.05."""
        return await self._vote(entry_id, "validate", body, actor, story)

    async def contradict(self, entry_id: str, body: Opinion, actor: Writer, story: Story) -> Response:
        """An llm contradicts the entry: confidence falls by 0.1."""
        return await self._vote(entry_id, "contradict", body, actor, story)

    async def _vote(
        self, entry_id: str, vote: Vote, body: Opinion, actor: Actor, story: Exchange
    ) -> Response:
        entry = await self._store.vote(entry_id, vote, body.llm_id, _caller(actor, story))
        return await self._written(entry, VOTE_EDIT[vote], story)

    async def _find(self, wanted: Wanted, actor: Actor, story: Exchange) -> Response:
        page = await self._store.find(wanted, _caller(actor, story))
        await self._record_found(page, "/v1/memory", story, wanted.words)
        data = [_shown(found.entry) | {"score": found.score} for found in page.found]
        return _answer({"data": data, "next_cursor": page.next_cursor})

    async def _record_found(
        self, page: Page, resource: str, story: Exchange, words: str | None = None
    ) -> None:
        trail: dict[str, object] = {
            "ids": [found.entry.id for found in page.found],
            "content_hashes": [found.entry.content_hash for found in page.found],
        }
        if words:
            trail["query_hash"] = content_hash(words)
        await self._events.record("memory_read", resource, trail, story)

    async def _written(self, entry: Entry, edit: Edit, story: Exchange, status: int = 200) -> Response:
        await self._events.record("memory_written", _resource(entry), _trail(entry) | {"change": edit}, story)
        return _answer(_shown(entry), entry, status)


def _wanted(conditions: Conditions, words: str | None = None) -> Wanted:
    tags = tuple(tag.strip() for several in conditions.tags for tag in several.split(",") if tag.strip())
    return Wanted(
        words=words,
        type=conditions.type,
        project=conditions.project,
        tags=tags,
        min_confidence=conditions.min_confidence,
        limit=conditions.limit,
        cursor=conditions.cursor,
    )


def _drafts(body: bytes) -> list[Draft]:
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not 0 < len(lines) <= IMPORT_LINES:
        raise BadRequest(f"An import has 1 to {IMPORT_LINES} lines; this one has {len(lines)}.", param="body")
    return [_draft(number, line) for number, line in lines]


def _draft(number: int, line: bytes) -> Draft:
    try:
        entry = NewEntry.model_validate_json(line)
        draft = Draft(**entry.model_dump() | {"tags": tuple(entry.tags)})
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


def _caller(actor: Actor, story: Exchange) -> Caller:
    return Caller(actor.key_id, story.trace_id, actor.projects)


def _version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest('If-Match must be the version as last read, "3" say.', param="If-Match")
    return int(digits)


def _resource(entry: Entry) -> str:
    return f"/v1/memory/{entry.id}"


def _trail(entry: Entry) -> dict[str, object]:
    """What the audit log keeps of an entry: never its content."""
    return {
        "id": entry.id,
        "version": entry.version,
        "project": entry.project,
        "content_hash": entry.content_hash,
    }


def _shown(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "object": "memory",
        "content": entry.content,
        "type": entry.type,
        "project": entry.project,
        "tags": entry.tags,
        "importance": entry.importance,
        "confidence": entry.confidence,
        "created_by": entry.created_by,
        "llm_id": entry.llm_id,
        "trace_id": entry.trace_id,
        "version": entry.version,
        "content_hash": entry.content_hash,
        "created_at": _moment(entry.created_at_us),
        "updated_at": _moment(entry.updated_at_us),
        "expires_at": _moment(entry.expires_at_us),
    }


def _past(revision: Revision) -> dict[str, object]:
    fields = {name: getattr(revision, name) for name in RevisionOut.model_fields if not name.endswith("_at")}
    return fields | {
        "changed_at": _moment(revision.changed_at_us),
        "expires_at": _moment(revision.expires_at_us),
    }


def _moment(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)


def _answer(body: object, entry: Entry | None = None, status: int = 200) -> Response:
    headers = None if entry is None else {"etag": f'"{entry.version}"'}
    return Response(msgspec.json.encode(body), status, headers, "application/json")

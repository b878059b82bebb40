"""Where the memory is asked: the store's answer, and a record of who asked and what was touched.

The audit log names a content by its hash and never holds it.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tristar.auth.actor import Actor
from tristar.edge.access import Events
from tristar.errors import BadRequest, Forbidden, GatewayError
from tristar.exchange import Exchange
from tristar.memory.entry import (
    VOTE_EDIT,
    Caller,
    Change,
    Draft,
    Edit,
    Entry,
    Meaning,
    Page,
    Query,
    Revision,
    Vote,
    content_hash,
)
from tristar.memory.recall import Recollection, Scope, recall
from tristar.memory.store import Store
from tristar.memory.words import present


class Senses(Protocol):
    """Tells what a text means."""

    @property
    def configured(self) -> bool:
        """Whether it can at all."""
        ...

    async def meaning(self, text: str, story: Exchange) -> Meaning:
        """The meaning of a search's words, soon.

        Raises:
            GatewayError: nobody can tell now.
        """
        ...


class Desk:
    """The memory on behalf of one request at a time; errors are the store's, and `NoRecord`.

    Each call is recorded once, and, in strict mode, durably before it returns. The request's books
    name the operation.
    """

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self.senses: Senses | None = None
        """What tells meanings. It asks through the corridor, which itself asks here: so it comes last."""
        self.written: Callable[[], None] = _nobody
        """Told whenever an entry may have a content that is not embedded yet."""

    async def add(self, draft: Draft, actor: Actor, story: Exchange) -> Entry:
        """Remember something."""
        story.operation = "store"
        entry = await self._store.add(_of(draft, story), _caller(actor, story))
        return await self._written(entry, "created", story)

    async def add_all(self, drafts: Sequence[Draft], actor: Actor, story: Exchange) -> Sequence[Entry]:
        """Remember all of these or none; one record names them."""
        story.operation = "import"
        theirs = [_of(draft, story) for draft in drafts]
        entries = await self._store.add_all(theirs, _caller(actor, story))
        trail = _trails(entries) | {"change": "created"}
        self.written()
        await self._events.record("memory_written", "/v1/memory/import", trail, story)
        return entries

    async def get(self, entry_id: str, actor: Actor, story: Exchange) -> Entry:
        """One entry."""
        story.operation = "get"
        entry = await self._store.get(entry_id, _caller(actor, story))
        await self._events.record("memory_read", _resource(entry), _trail(entry), story)
        return entry

    async def change(
        self, entry_id: str, change: Change, actor: Actor, story: Exchange, expected: int | None = None
    ) -> Entry:
        """Make some fields of an entry different."""
        story.operation = "update"
        entry = await self._store.change(entry_id, change, _caller(actor, story), expected)
        return await self._written(entry, "updated", story)

    async def remove(
        self, entry_id: str, actor: Actor, story: Exchange, expected: int | None = None
    ) -> Entry:
        """Forget an entry with its history, for good."""
        story.operation = "delete"
        entry = await self._store.remove(entry_id, _caller(actor, story), expected)
        await self._events.record("memory_deleted", _resource(entry), _trail(entry), story)
        return entry

    async def vote(self, entry_id: str, vote: Vote, llm_id: str, actor: Actor, story: Exchange) -> Entry:
        """Let an llm confirm or contradict an entry."""
        story.operation = vote
        entry = await self._store.vote(entry_id, vote, llm_id, _caller(actor, story))
        return await self._written(entry, VOTE_EDIT[vote], story)

    async def history(self, entry_id: str, actor: Actor, story: Exchange) -> Sequence[Revision]:
        """Every version of an entry, oldest first."""
        story.operation = "history"
        revisions = await self._store.history(entry_id, _caller(actor, story))
        trail = {"id": entry_id, "content_hashes": sorted({revision.content_hash for revision in revisions})}
        await self._events.record("memory_read", f"/v1/memory/{entry_id}/history", trail, story)
        return revisions

    async def find(self, query: Query, actor: Actor, story: Exchange) -> Page:
        """The entries that fit."""
        story.operation = "list" if query.words is None else "search"
        query, notice = await self._understood(query, story)
        page = await self._store.find(query, _caller(actor, story))
        await self._record_found(page, "/v1/memory", story, query.words)
        return replace(page, mode=query.mode, notice=notice)

    async def _understood(self, query: Query, story: Exchange) -> tuple[Query, str | None]:
        """The query with the meaning of its words, or as one for words alone and why."""
        if not query.words:
            return replace(query, mode=None), None
        able = self.senses is not None and self.senses.configured
        mode = query.mode or ("hybrid" if able else "text")
        if mode == "text":
            return replace(query, mode=mode), None
        if self.senses is None or not able:
            raise BadRequest(
                f"mode {mode!r} needs an embedding llm: set [memory] embedding_llm, or search by text.",
                param="mode",
            )
        text = present(query.words)
        try:
            meaning = await self.senses.meaning(text, story) if text else None
        except GatewayError as error:
            notice = f"Ranked by words alone: the meaning is not known ({error.code})."
            return replace(query, mode="text"), notice
        return replace(query, mode=mode, meaning=meaning), None

    async def recall(self, question: str, scope: Scope, actor: Actor, story: Exchange) -> Recollection:
        """What there is to say about a question; each entry that goes along is recorded.

        Raises:
            Forbidden: the caller may not read the memory.
        """
        if not actor.allows("memory:read"):
            raise Forbidden("The field `memory` needs the scope 'memory:read', which the key does not have.")
        story.operation = "recall"
        found = await recall(self._store, question, scope, _caller(actor, story))
        trail = _trails(found.entries) | {"query_hash": content_hash(question)}
        await self._events.record("memory_read", "/v1/memory", trail, story)
        return found

    async def export(self, query: Query, actor: Actor, story: Exchange) -> AsyncIterator[Page]:
        """Page after page of the entries that fit, each recorded before it is given out."""
        story.operation = "export"
        while True:
            page = await self._store.find(query, _caller(actor, story))
            await self._record_found(page, "/v1/memory/export", story)
            yield page
            if page.next_cursor is None:
                return
            query = replace(query, cursor=page.next_cursor)

    async def _record_found(
        self, page: Page, resource: str, story: Exchange, words: str | None = None
    ) -> None:
        trail = _trails([found.entry for found in page.found])
        if words:
            trail["query_hash"] = content_hash(words)
        await self._events.record("memory_read", resource, trail, story)

    async def _written(self, entry: Entry, edit: Edit, story: Exchange) -> Entry:
        self.written()
        await self._events.record("memory_written", _resource(entry), _trail(entry) | {"change": edit}, story)
        return entry


def _nobody() -> None:
    """Nobody wants to know."""


def _of(draft: Draft, story: Exchange) -> Draft:
    """What is written on behalf of a person is theirs, unless it says otherwise."""
    return draft if draft.subject is not None else replace(draft, subject=story.end_user)


def _caller(actor: Actor, story: Exchange) -> Caller:
    return Caller(actor.key_id, story.trace_id, actor.projects)


def _resource(entry: Entry) -> str:
    return f"/v1/memory/{entry.id}"


def _trail(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "version": entry.version,
        "project": entry.project,
        "content_hash": entry.content_hash,
    }


def _trails(entries: Sequence[Entry]) -> dict[str, object]:
    return {
        "ids": [entry.id for entry in entries],
        "content_hashes": [entry.content_hash for entry in entries],
    }

"""The memory store on a `Database`: the same statements for every engine, but for the word index."""

import asyncio
import math
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from tristar.clock import Clock
from tristar.errors import BadRequest, Forbidden, NotFound
from tristar.memory import cursors, rows
from tristar.memory.entry import (
    DEFAULT_PROJECT,
    ENTRY_ID,
    LARGEST_PAGE,
    QUERY_CHARS,
    VOTE_EDIT,
    VOTE_WEIGHT,
    Caller,
    Change,
    Count,
    Draft,
    Edit,
    Entry,
    Found,
    Page,
    Query,
    Revision,
    VersionMismatch,
    Vote,
    check_change,
    check_draft,
    check_name,
    check_tags,
    check_type,
    content_hash,
)
from tristar.memory.words import Phrase, parse, split
from tristar.storage.engine import Database
from tristar.storage.schema import memory_entries, memory_history, memory_tags

_INLINE_CHARS = 8192
"""Longer texts are split into words in a thread: the event loop has streams to serve."""

PHRASES = 64
CENSUS = 10_000
"""Pairs of project and type in a census."""

RANKED = 1000
"""A search ranks the newest of what fits, this many: so a common word costs no more than a rare one."""

_entries = memory_entries.c


class WordIndex(Protocol):
    """Where an engine keeps the words of each entry. It drops those of a deleted entry by itself."""

    @property
    def source(self) -> FromClause[Any]:
        """The table; joined to the entries by `seq`."""
        ...

    @property
    def seq(self) -> ColumnElement[int]:
        """The entry that a row of `source` belongs to."""
        ...

    def put(self, connection: Connection, seq: int, words: Sequence[str], *, known: bool) -> None:
        """Set the words of entry `seq`; `known` says that it may have had others."""
        ...

    def matches(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[bool]:
        """The condition on `source`; of the phrases at least one is not `absent`."""
        ...

    def score(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[float]:
        """The relevance of a row of `source`; higher is better."""
        ...


class SqlStore:
    """See `tristar.memory.store.Store`, whose guarantees are kept by the database's transactions."""

    def __init__(self, database: Database, index: WordIndex, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._clock = clock

    async def add(self, draft: Draft, caller: Caller) -> Entry:
        """See `Store.add`."""
        return (await self.add_all([draft], caller))[0]

    async def add_all(self, drafts: Sequence[Draft], caller: Caller) -> Sequence[Entry]:
        """See `Store.add_all`."""
        for draft in drafts:
            check_draft(draft)
        now_us = self._now_us()
        entries = [_new_entry(draft, _own_project(draft.project, caller), caller, now_us) for draft in drafts]
        words = [await _words_of(entry) for entry in entries]

        def work(connection: Connection) -> Sequence[Entry]:
            for entry, its_words in zip(entries, words, strict=True):
                seq = rows.put_entry(connection, entry)
                self._index.put(connection, seq, its_words, known=False)
                rows.put_tags(connection, seq, entry.tags)
                rows.put_revision(connection, seq, entry, "created", caller=caller, llm_id=entry.llm_id)
            return entries

        return await self._database.write(work)

    async def get(self, entry_id: str, caller: Caller) -> Entry:
        """See `Store.get`."""
        wanted = self._one(entry_id, caller)
        row = await self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        return rows.entry(_present(row, entry_id))

    async def change(
        self, entry_id: str, change: Change, caller: Caller, expected: int | None = None
    ) -> Entry:
        """See `Store.change`."""
        check_change(change)
        if change.project is not None:
            _own_project(change.project, caller)

        def work(connection: Connection) -> Entry:
            row = self._lock(connection, entry_id, caller, expected)
            before = rows.entry(row)
            after = _changed(before, change, self._now_us())
            self._store(connection, row.seq, after, "updated", caller=caller, llm_id=change.llm_id)
            if (after.content, after.tags) != (before.content, before.tags):
                self._index.put(connection, row.seq, split(_searchable(after)), known=True)
            if after.tags != before.tags:
                connection.execute(delete(memory_tags).where(memory_tags.c.entry_seq == row.seq))
                rows.put_tags(connection, row.seq, after.tags)
            return after

        return await self._database.write(work)

    async def remove(self, entry_id: str, caller: Caller, expected: int | None = None) -> Entry:
        """See `Store.remove`."""

        def work(connection: Connection) -> Entry:
            row = self._lock(connection, entry_id, caller, expected)
            connection.execute(delete(memory_entries).where(_entries.seq == row.seq))
            return rows.entry(row)

        return await self._database.write(work)

    async def vote(self, entry_id: str, vote: Vote, llm_id: str, caller: Caller) -> Entry:
        """See `Store.vote`."""
        check_name(llm_id, "llm_id")

        def work(connection: Connection) -> Entry:
            row = self._lock(connection, entry_id, caller, None)
            before = rows.entry(row)
            if not rows.put_vote(connection, row, vote, llm_id, caller=caller, at_us=self._now_us()):
                return before
            after = _voted(before, vote, self._now_us())
            self._store(connection, row.seq, after, VOTE_EDIT[vote], caller=caller, llm_id=llm_id)
            return after

        return await self._database.write(work)

    async def history(self, entry_id: str, caller: Caller) -> Sequence[Revision]:
        """See `Store.history`."""
        wanted = self._one(entry_id, caller)

        def work(connection: Connection) -> Sequence[Row[Any]]:
            row = _present(connection.execute(wanted).one_or_none(), entry_id)
            past = memory_history.c
            return connection.execute(
                select(memory_history).where(past.entry_seq == row.seq).order_by(past.version)
            ).all()

        return [rows.revision(row) for row in await self._database.read(work)]

    async def find(self, query: Query, caller: Caller) -> Page:
        """See `Store.find`."""
        _check_query(query)
        if not query.words:
            return await self._listed(query, caller)
        phrases = parse(query.words)
        if not phrases:
            return Page((), None)
        if len(phrases) > PHRASES or all(phrase.absent for phrase in phrases):
            raise BadRequest(f"q needs 1 to {PHRASES} words, and not only such as must be absent.", param="q")
        return await self._ranked(query, phrases, caller)

    async def live_entries(self) -> int:
        """See `Store.live_entries`."""
        # Counting all and taking off the expired is ten times as fast as testing each for its end.
        every = select(func.count()).select_from(memory_entries)
        expired = every.where(_entries.expires_at <= self._now_us())
        counted = select(every.scalar_subquery() - expired.scalar_subquery())

        def work(connection: Connection) -> int:
            live: int = connection.execute(counted).scalar_one()
            return live

        return await self._database.read(work)

    async def census(self, caller: Caller) -> Sequence[Count]:
        """See `Store.census`."""
        kind = _entries.project, _entries.type
        live = or_(_entries.expires_at.is_(None), _entries.expires_at > self._now_us())
        count = func.count().label("entries")
        counted = select(*kind, count).where(live, *_within(caller)).group_by(*kind)
        largest = counted.order_by(count.desc(), *kind).limit(CENSUS)
        found = await self._database.read(lambda connection: connection.execute(largest).all())
        return [Count(*row) for row in found]

    async def sweep(self, limit: int = 500) -> int:
        """See `Store.sweep`."""
        expired = select(_entries.seq).where(_entries.expires_at <= self._now_us()).limit(limit)
        gone = delete(memory_entries).where(_entries.seq.in_(expired))
        first = await self._database.read(lambda connection: connection.execute(expired.limit(1)).first())
        if first is None:
            return 0
        return await self._database.write(lambda connection: connection.execute(gone).rowcount)

    async def _listed(self, query: Query, caller: Caller) -> Page:
        wanted = self._fitting(select(memory_entries), query, caller).order_by(_entries.seq.desc())
        if query.cursor is not None:
            wanted = wanted.where(_entries.seq < cursors.read(query, caller))
        wanted = wanted.limit(query.limit + 1)
        found = await self._database.read(lambda connection: connection.execute(wanted).all())
        shown = found[: query.limit]
        following = cursors.write(query, caller, shown[-1].seq) if len(found) > query.limit else None
        return Page([Found(rows.entry(row)) for row in shown], following)

    async def _ranked(self, query: Query, phrases: Sequence[Phrase], caller: Caller) -> Page:
        offset = 0 if query.cursor is None else cursors.read(query, caller)
        wanted = self._best(query, phrases, caller).limit(query.limit + 1).offset(offset)
        found = await self._database.read(lambda connection: connection.execute(wanted).all())
        more = len(found) > query.limit
        following = cursors.write(query, caller, offset + query.limit) if more else None
        return Page([Found(rows.entry(row), float(row.score)) for row in found[: query.limit]], following)

    def _best(self, query: Query, phrases: Sequence[Phrase], caller: Caller) -> Select[Any]:
        """The newest that fit, scored; then, of the best alone, the whole entries."""
        index = self._index
        newest = (
            self._fitting(
                select(_entries.seq, index.score(phrases, any_word=query.any_word).label("score")),
                query,
                caller,
            )
            .select_from(index.source.join(memory_entries, _entries.seq == index.seq))
            .where(index.matches(phrases, any_word=query.any_word))
            .order_by(index.seq.desc())
            .limit(RANKED)
            .subquery()
        )
        return (
            select(memory_entries, newest.c.score)
            .join(newest, _entries.seq == newest.c.seq)
            .order_by(newest.c.score.desc(), newest.c.seq.desc())
        )

    def _fitting(self, wanted: Select[Any], query: Query, caller: Caller) -> Select[Any]:
        conditions = [self._live(), *_within(caller)]
        if query.project is not None:
            conditions.append(_entries.project == query.project)
        if query.type is not None:
            conditions.append(_entries.type == query.type)
        if query.min_confidence is not None:
            conditions.append(_entries.confidence >= query.min_confidence)
        conditions += [_tagged(tag) for tag in query.tags]
        return wanted.where(*conditions)

    def _one(self, entry_id: str, caller: Caller) -> Select[Any]:
        if not ENTRY_ID.fullmatch(entry_id):
            raise _no_entry(entry_id)
        return select(memory_entries).where(_entries.id == entry_id, self._live(), *_within(caller))

    def _lock(self, connection: Connection, entry_id: str, caller: Caller, expected: int | None) -> Row[Any]:
        """The entry's row, which nobody else changes until the transaction ends."""
        wanted = self._one(entry_id, caller).with_for_update()
        row = _present(connection.execute(wanted).one_or_none(), entry_id)
        if expected is not None and row.version != expected:
            raise VersionMismatch(
                f"The entry is at version {row.version}, not {expected}; read it again.", param="If-Match"
            )
        return row

    def _store(
        self,
        connection: Connection,
        seq: int,
        entry: Entry,
        edit: Edit,
        *,
        caller: Caller,
        llm_id: str | None,
    ) -> None:
        connection.execute(update(memory_entries).where(_entries.seq == seq).values(**rows.columns(entry)))
        rows.put_revision(connection, seq, entry, edit, caller=caller, llm_id=llm_id)

    def _live(self) -> ColumnElement[bool]:
        return or_(_entries.expires_at.is_(None), _entries.expires_at > self._now_us())

    def _now_us(self) -> int:
        return round(self._clock.time() * 1e6)


async def _words_of(entry: Entry) -> list[str]:
    text = _searchable(entry)
    return split(text) if len(text) <= _INLINE_CHARS else await asyncio.to_thread(split, text)


def _searchable(entry: Entry) -> str:
    return " ".join((entry.content, *entry.tags))


def _new_entry(draft: Draft, project: str, caller: Caller, now_us: int) -> Entry:
    return Entry(
        id="mem_" + secrets.token_hex(16),
        content=draft.content,
        type=draft.type,
        project=project,
        tags=tuple(sorted(set(draft.tags))),
        importance=draft.importance,
        confidence=draft.confidence,
        created_by=caller.key_id,
        llm_id=draft.llm_id,
        trace_id=caller.trace_id,
        version=1,
        content_hash=content_hash(draft.content),
        created_at_us=now_us,
        updated_at_us=now_us,
        expires_at_us=None if draft.ttl_s is None else _ends(now_us, draft.ttl_s),
    )


def _changed(entry: Entry, change: Change, now_us: int) -> Entry:
    content = entry.content if change.content is None else change.content
    expires_at_us = None if change.keep else entry.expires_at_us
    return replace(
        entry,
        content=content,
        content_hash=content_hash(content),
        type=change.type or entry.type,
        project=change.project or entry.project,
        tags=entry.tags if change.tags is None else tuple(sorted(set(change.tags))),
        importance=entry.importance if change.importance is None else change.importance,
        confidence=entry.confidence if change.confidence is None else change.confidence,
        version=entry.version + 1,
        updated_at_us=now_us,
        expires_at_us=expires_at_us if change.ttl_s is None else _ends(now_us, change.ttl_s),
    )


def _voted(entry: Entry, vote: Vote, now_us: int) -> Entry:
    # Rounded, so that twenty votes for and ten against lead back to where they began.
    confidence = round(min(1.0, max(0.0, entry.confidence + VOTE_WEIGHT[vote])), 6)
    return replace(entry, confidence=confidence, version=entry.version + 1, updated_at_us=now_us)


def _ends(now_us: int, ttl_s: float) -> int:
    return now_us + math.ceil(ttl_s * 1e6)


def _own_project(project: str | None, caller: Caller) -> str:
    if project is None:
        only_one = caller.projects is not None and len(caller.projects) == 1
        project = next(iter(caller.projects)) if caller.projects and only_one else DEFAULT_PROJECT
    if caller.projects is not None and project not in caller.projects:
        raise Forbidden(f"This key has no access to project {project!r}.", param="project")
    return project


def _within(caller: Caller) -> list[ColumnElement[bool]]:
    return [] if caller.projects is None else [_entries.project.in_(sorted(caller.projects))]


def _tagged(tag: str) -> ColumnElement[bool]:
    return exists().where(memory_tags.c.entry_seq == _entries.seq, memory_tags.c.tag == tag)


def _present(row: Row[Any] | None, entry_id: str) -> Row[Any]:
    if row is None:
        raise _no_entry(entry_id)
    return row


def _no_entry(entry_id: str) -> NotFound:
    return NotFound(f"There is no memory entry {entry_id[:80]!r}; it may have expired.", param="id")


def _check_query(query: Query) -> None:
    if not 1 <= query.limit <= LARGEST_PAGE:
        raise BadRequest(f"limit must be from 1 to {LARGEST_PAGE}.", param="limit")
    if query.words is not None and len(query.words) > QUERY_CHARS:
        raise BadRequest(f"q must have at most {QUERY_CHARS} characters.", param="q")
    if query.type is not None:
        check_type(query.type)
    if query.project is not None:
        check_name(query.project, "project")
    check_tags(query.tags)

"""The memory store on a `Database`: the same statements for every engine, but for the word index."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, select, update

from tristar.clock import Clock
from tristar.errors import NotFound
from tristar.memory import backlog, conditions, edits, rows
from tristar.memory.entry import (
    ENTRY_ID,
    VOTE_EDIT,
    Caller,
    Change,
    Count,
    Draft,
    Edit,
    Entry,
    Page,
    Query,
    Revision,
    VersionMismatch,
    Vote,
    check_change,
    check_draft,
    check_name,
)
from tristar.memory.intake import Intake, Worded
from tristar.memory.search import Search
from tristar.memory.statements import Lists, WordIndex
from tristar.memory.vectors import Vectors
from tristar.memory.words import split
from tristar.storage.engine import Database
from tristar.storage.schema import memory_entries, memory_history, memory_tags

_INLINE_CHARS = 8192
"""Longer texts are split into words in a thread: the event loop has streams to serve."""

_AT_ONCE = 500

CENSUS = 10_000
"""Pairs of project and type in a census."""

_entries = memory_entries.c


class SqlStore:
    """See `tristar.memory.store.Store`, whose guarantees are kept by the database's transactions."""

    def __init__(
        self, database: Database, index: WordIndex, lists: Lists, vectors: Vectors, clock: Clock
    ) -> None:
        self._database = database
        self._index = index
        self._clock = clock
        self._intake = Intake(database, self._keep)
        self._search = Search(database, index, lists, vectors, clock)

    async def add(self, draft: Draft, caller: Caller) -> Entry:
        """See `Store.add`."""
        worded = await self._made(draft, caller, self._now_us())
        await self._intake.keep(worded)
        return worded.entry

    async def add_all(self, drafts: Sequence[Draft], caller: Caller) -> Sequence[Entry]:
        """See `Store.add_all`."""
        now_us = self._now_us()
        several = [await self._made(draft, caller, now_us) for draft in drafts]
        await self._database.write(lambda connection: self._keep(connection, several))
        return [each.entry for each in several]

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
            edits.own_project(change.project, caller)

        def work(connection: Connection) -> Entry:
            row = self._lock(connection, entry_id, caller, expected)
            before = rows.entry(row)
            after = edits.changed(before, change, self._now_us())
            self._store(connection, row.seq, after, "updated", caller=caller, llm_id=change.llm_id)
            if (after.content, after.tags) != (before.content, before.tags):
                self._index.put(connection, row.seq, split(_searchable(after)))
            if after.content != before.content:
                backlog.wait_anew(connection, row.seq)
            elif after.project != before.project:
                backlog.moved(connection, row.seq)
            if after.tags != before.tags:
                connection.execute(delete(memory_tags).where(memory_tags.c.entry_seq == row.seq))
                rows.put_tags(connection, [(row.seq, after.tags)])
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
            after = edits.voted(before, vote, self._now_us())
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
        return await self._search.find(query, caller)

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

    async def about(self, subject: str) -> Sequence[Entry]:
        """See `Store.about`."""
        wanted = select(memory_entries).where(_entries.subject == subject).order_by(_entries.seq)
        found = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [rows.entry(row) for row in found]

    async def forget(self, subject: str) -> int:
        """See `Store.forget`."""

        def work(connection: Connection) -> int:
            theirs = select(_entries.seq).where(_entries.subject == subject).order_by(_entries.seq)
            seqs = connection.execute(theirs.with_for_update()).scalars().all()
            for first in range(0, len(seqs), _AT_ONCE):
                some = seqs[first : first + _AT_ONCE]
                connection.execute(delete(memory_entries).where(_entries.seq.in_(some)))
            self._index.purge(connection)
            return len(seqs)

        gone = await self._database.write(work)
        await self._database.purge()
        return gone

    async def census(self, caller: Caller) -> Sequence[Count]:
        """See `Store.census`."""
        kind = _entries.project, _entries.type
        count = func.count().label("entries")
        counted = (
            select(*kind, count)
            .where(conditions.live(self._now_us()), *conditions.within(caller))
            .group_by(*kind)
        )
        largest = counted.order_by(count.desc(), *kind).limit(CENSUS)
        found = await self._database.read(lambda connection: connection.execute(largest).all())
        return [Count(*row) for row in found]

    async def sweep(self, limit: int = 500) -> int:
        """See `Store.sweep`."""
        expired = select(_entries.seq).where(_entries.expires_at <= self._now_us())
        first = await self._database.read(lambda connection: connection.execute(expired.limit(1)).first())
        if first is None:
            return 0

        def work(connection: Connection) -> int:
            locked = expired.order_by(_entries.seq).limit(limit).with_for_update(skip_locked=True)
            seqs = connection.execute(locked).scalars().all()
            return connection.execute(delete(memory_entries).where(_entries.seq.in_(seqs))).rowcount

        return await self._database.write(work)

    async def _made(self, draft: Draft, caller: Caller, now_us: int) -> Worded:
        check_draft(draft)
        entry = edits.new_entry(draft, edits.own_project(draft.project, caller), caller, now_us)
        return Worded(entry, await _words_of(entry))

    def _keep(self, connection: Connection, several: Sequence[Worded]) -> None:
        seqs = rows.put_new(connection, [each.entry for each in several])
        words = [each.words for each in several]
        self._index.put_new(connection, list(zip(seqs, words, strict=True)))

    def _one(self, entry_id: str, caller: Caller) -> Select[Any]:
        if not ENTRY_ID.fullmatch(entry_id):
            raise _no_entry(entry_id)
        return select(memory_entries).where(
            _entries.id == entry_id, conditions.live(self._now_us()), *conditions.within(caller)
        )

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

    def _now_us(self) -> int:
        return round(self._clock.time() * 1e6)


async def _words_of(entry: Entry) -> list[str]:
    text = _searchable(entry)
    return split(text) if len(text) <= _INLINE_CHARS else await asyncio.to_thread(split, text)


def _searchable(entry: Entry) -> str:
    return " ".join((entry.content, *entry.tags))


def _present(row: Row[Any] | None, entry_id: str) -> Row[Any]:
    if row is None:
        raise _no_entry(entry_id)
    return row


def _no_entry(entry_id: str) -> NotFound:
    return NotFound(f"There is no memory entry {entry_id[:80]!r}; it may have expired.", param="id")

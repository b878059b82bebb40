"""Finding entries: by conditions, by their words, by what they mean, or by both."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import BindParameter, ColumnElement, Connection, FromClause, Row, Select, bindparam, select

from tristar.clock import Clock
from tristar.errors import BadRequest
from tristar.memory import conditions, cursors, rows
from tristar.memory.entry import (
    LARGEST_PAGE,
    QUERY_CHARS,
    Caller,
    Found,
    Meaning,
    Page,
    Query,
    check_name,
    check_subject,
    check_tags,
    check_type,
)
from tristar.memory.vectors import Vectors
from tristar.memory.words import Phrase, parse
from tristar.storage.engine import Database
from tristar.storage.schema import memory_entries, memory_vectors

PHRASES = 64
RANKED = 1000
"""A search ranks the newest of what fits, this many: so a common word costs no more than a rare one."""

WORDED = 150
"""So many of the best by their words are joined with the best by their meaning."""

MEANT = 120
"""So many of the nearest by their meaning are looked at exactly."""

WIDER = 1000
"""Where few of these fit the conditions, so many are sifted for those that do."""

SIFTED = 20_000
"""Where few of those fit, either, the newest that fit are searched instead: this many."""

RANK_OFFSET = 60
"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): each list gives 1 / (60 + rank)."""

_entries = memory_entries.c
_SEQS: BindParameter[Any] = bindparam("seqs", expanding=True)


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

    def put_new(self, connection: Connection, several: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Take in the words of new entries, by sequence number."""
        ...

    def put(self, connection: Connection, seq: int, words: Sequence[str]) -> None:
        """Set the words of entry `seq` in place of those that it had."""
        ...

    def purge(self, connection: Connection) -> None:
        """Let nothing stay on disk of the words of entries that are gone."""
        ...

    def matches(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[bool]:
        """The condition on `source`; of the phrases at least one is not `absent`."""
        ...

    def score(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[float]:
        """The relevance of a row of `source`; higher is better."""
        ...


class _Scored(NamedTuple):
    seq: int
    score: float


class _Asked(NamedTuple):
    query: Query
    meaning: Meaning
    phrases: Sequence[Phrase]
    caller: Caller


class Search:
    """See `tristar.memory.store.Store.find`."""

    def __init__(self, database: Database, index: WordIndex, vectors: Vectors, clock: Clock) -> None:
        self._database = database
        self._index = index
        self._vectors = vectors
        self._clock = clock

    async def find(self, query: Query, caller: Caller) -> Page:
        """See `Store.find`."""
        _check(query)
        if not query.words:
            return await self._listed(query, caller)
        phrases = parse(query.words)
        if len(phrases) > PHRASES or (phrases and all(phrase.absent for phrase in phrases)):
            raise BadRequest(f"q needs 1 to {PHRASES} words, and not only such as must be absent.", param="q")
        if query.meaning is not None:
            return await self._fused(_Asked(query, query.meaning, phrases, caller))
        if not phrases:
            return Page((), None)
        return await self._ranked(query, phrases, caller)

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
        newest = self._newest(query, phrases, caller).subquery()
        return (
            select(memory_entries, newest.c.score)
            .join(newest, _entries.seq == newest.c.seq)
            .order_by(newest.c.score.desc(), newest.c.seq.desc())
        )

    def _newest(self, query: Query, phrases: Sequence[Phrase], caller: Caller) -> Select[Any]:
        index = self._index
        score = index.score(phrases, any_word=query.any_word).label("score")
        return (
            self._fitting(select(_entries.seq, score), query, caller, seq=index.seq)
            .select_from(index.source.join(memory_entries, _entries.seq == index.seq))
            .where(index.matches(phrases, any_word=query.any_word))
            .order_by(index.seq.desc())
            .limit(RANKED)
        )

    async def _fused(self, asked: _Asked) -> Page:
        query, caller = asked.query, asked.caller
        offset = 0 if query.cursor is None else cursors.read(query, caller)
        near = await self._vectors.nearest(asked.meaning, MEANT, _projects(query, caller))

        def work(connection: Connection) -> tuple[Sequence[_Scored], Sequence[Row[Any]]]:
            best = self._meant(connection, asked, near)
            if query.mode == "hybrid":
                best = fuse(best, self._worded(connection, asked))
            page = best[offset : offset + query.limit + 1]
            wanted = select(memory_entries).where(_entries.seq.in_(_SEQS))
            return page, connection.execute(wanted, {"seqs": [each.seq for each in page]}).all()

        page, found = await self._database.read(work)
        entries = {row.seq: rows.entry(row) for row in found}
        shown = [Found(entries[seq], score) for seq, score in page[: query.limit] if seq in entries]
        following = cursors.write(query, caller, offset + query.limit) if len(page) > query.limit else None
        return Page(shown, following)

    def _meant(self, connection: Connection, asked: _Asked, near: Sequence[int]) -> Sequence[_Scored]:
        """What fits of the entries near to the meaning, the nearest first."""
        meaning = asked.meaning
        found = self._vectors_of(connection, asked, near)
        if len(found) < asked.query.limit and len(near) == MEANT:
            found = self._vectors_of(connection, asked, self._sifted(connection, asked))
        comparable = [row for row in found if len(row.vector) == len(meaning.vector)]
        scores = self._vectors.likeness(meaning, [row.vector for row in comparable])
        pairs = zip(comparable, scores, strict=True)
        scored = [_Scored(row.entry_seq, score) for row, score in pairs if score > 0]
        return sorted(scored, key=lambda each: (-each.score, -each.seq))

    def _sifted(self, connection: Connection, asked: _Asked) -> Sequence[int]:
        """The nearest of those that fit, where the very nearest are of another kind."""
        query, caller, meaning = asked.query, asked.caller, asked.meaning
        wider = self._vectors.again(meaning, WIDER, projects=_projects(query, caller))
        fitting = self._fitting(select(_entries.seq).where(_entries.seq.in_(_SEQS)), query, caller)
        fit = set(connection.execute(fitting, {"seqs": wider}).scalars())
        if len(fit) >= query.limit or len(wider) < WIDER:
            return [seq for seq in wider if seq in fit][:MEANT]
        newest = self._fitting(select(_entries.seq), query, caller, by_tag=True).order_by(_entries.seq.desc())
        among = connection.execute(newest.limit(SIFTED)).scalars().all()
        return self._vectors.again(meaning, MEANT, among=among)

    def _vectors_of(self, connection: Connection, asked: _Asked, near: Sequence[int]) -> Sequence[Row[Any]]:
        vectors = memory_vectors.c
        joined = memory_vectors.join(memory_entries, vectors.entry_seq == _entries.seq)
        wanted: Select[Any] = select(vectors.entry_seq, vectors.vector).select_from(joined)
        wanted = self._fitting(wanted.where(vectors.entry_seq.in_(_SEQS)), asked.query, asked.caller)
        absent = [Phrase(each.words, prefix=each.prefix) for each in asked.phrases if each.absent]
        if absent:
            having = select(self._index.seq).where(self._index.matches(absent, any_word=True))
            wanted = wanted.where(vectors.entry_seq.not_in(having))
        return connection.execute(wanted, {"seqs": near}).all()

    def _worded(self, connection: Connection, asked: _Asked) -> Sequence[_Scored]:
        if not asked.phrases:
            return ()
        newest = self._newest(asked.query, asked.phrases, asked.caller).subquery()
        best = select(newest.c.seq, newest.c.score).order_by(newest.c.score.desc(), newest.c.seq.desc())
        return [_Scored(*row) for row in connection.execute(best.limit(WORDED))]

    def _fitting(
        self,
        wanted: Select[Any],
        query: Query,
        caller: Caller,
        *,
        seq: ColumnElement[int] = _entries.seq,
        by_tag: bool = False,
    ) -> Select[Any]:
        now_us = round(self._clock.time() * 1e6)
        return conditions.fitting(wanted, query, caller, now_us, seq=seq, by_tag=by_tag)


def fuse(*rankings: Iterable[_Scored]) -> Sequence[_Scored]:
    """One ranking of several, each best first: what stands high in more of them stands higher."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, each in enumerate(ranking, 1):
            sums[each.seq] = sums.get(each.seq, 0.0) + 1 / (RANK_OFFSET + rank)
    return sorted((_Scored(*each) for each in sums.items()), key=lambda each: (-each.score, -each.seq))


def _projects(query: Query, caller: Caller) -> frozenset[str] | None:
    if query.project is None:
        return caller.projects
    return frozenset({query.project}) & (caller.projects or frozenset({query.project}))


def _check(query: Query) -> None:
    if not 1 <= query.limit <= LARGEST_PAGE:
        raise BadRequest(f"limit must be from 1 to {LARGEST_PAGE}.", param="limit")
    if query.words is not None and len(query.words) > QUERY_CHARS:
        raise BadRequest(f"q must have at most {QUERY_CHARS} characters.", param="q")
    if query.type is not None:
        check_type(query.type)
    if query.project is not None:
        check_name(query.project, "project")
    if query.subject is not None:
        check_subject(query.subject)
    check_tags(query.tags)

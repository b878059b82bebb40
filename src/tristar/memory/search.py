"""Finding entries: by conditions, by their words, by what they mean, or by both."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection

from tristar.clock import Clock
from tristar.errors import BadRequest
from tristar.memory import conditions, cursors, rows
from tristar.memory.entry import (
    LARGEST_PAGE,
    QUERY_CHARS,
    Caller,
    Entry,
    Found,
    Meaning,
    Page,
    Query,
    check_name,
    check_subject,
    check_tags,
    check_type,
)
from tristar.memory.statements import Lists, Statements, WordIndex
from tristar.memory.vectors import Vectors
from tristar.memory.words import Phrase, parse
from tristar.storage.engine import Database

PHRASES = 64

WORDED = 150
"""So many of the best by their words are joined with the best by their meaning."""

MEANT = 120
"""So many of the nearest by their meaning are looked at exactly."""

WIDER = 1000
"""Where few of these fit the conditions, so many are: and where few of those do, the newest that fit."""

RANK_OFFSET = 60
"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): each list gives 1 / (60 + rank)."""


_Ranking = Sequence[tuple[float, int]]
"""Scores and sequence numbers, best first; of equals, the newest."""


class _Asked:
    """A question as statements know it: its shape, and what they are told."""

    def __init__(self, query: Query, caller: Caller, now_us: int) -> None:
        self.query = query
        self.caller = caller
        self.shape = conditions.shape(query, caller)
        self.offset = 0 if query.cursor is None else cursors.read(query, caller)
        self.told = conditions.values(query, caller, now_us)

    def following(self, position: int) -> str:
        """The cursor for what comes from there."""
        return cursors.write(self.query, self.caller, position)


class Search:
    """See `tristar.memory.store.Store.find`."""

    def __init__(
        self, database: Database, index: WordIndex, lists: Lists, vectors: Vectors, clock: Clock
    ) -> None:
        self._database = database
        self._index = index
        self._lists = lists
        self._statements = Statements(index, lists)
        self._vectors = vectors
        self._clock = clock

    async def find(self, query: Query, caller: Caller) -> Page:
        """See `Store.find`."""
        _check(query)
        phrases = parse(query.words or "")
        if len(phrases) > PHRASES or (phrases and all(phrase.absent for phrase in phrases)):
            raise BadRequest(f"q needs 1 to {PHRASES} words, and not only such as must be absent.", param="q")
        asked = _Asked(query, caller, round(self._clock.time() * 1e6))
        if not query.words:
            return await self._listed(asked)
        if phrases:
            asked.told["words"] = self._index.told(phrases, any_word=query.any_word)
        if query.meaning is not None:
            return await self._fused(asked, query.meaning, phrases)
        if not phrases:
            return Page((), None)
        return await self._ranked(asked)

    async def _listed(self, asked: _Asked) -> Page:
        limit, after = asked.query.limit, asked.query.cursor is not None
        wanted = self._statements.listed(asked.shape, after)
        told = asked.told | {"limit": limit + 1} | ({"after": asked.offset} if after else {})
        found = await self._database.look(lambda connection: connection.execute(wanted, told).all())
        shown = found[:limit]
        following = asked.following(shown[-1].seq) if len(found) > limit else None
        return Page([Found(rows.entry(row)) for row in shown], following)

    async def _ranked(self, asked: _Asked) -> Page:
        limit = asked.query.limit
        wanted = self._statements.best(asked.shape, asked.query.any_word)
        told = asked.told | {"limit": limit + 1, "offset": asked.offset}
        found = await self._database.look(lambda connection: connection.execute(wanted, told).all())
        following = asked.following(asked.offset + limit) if len(found) > limit else None
        return Page([Found(rows.entry(row), float(row.score)) for row in found[:limit]], following)

    async def _fused(self, asked: _Asked, meaning: Meaning, phrases: Sequence[Phrase]) -> Page:
        query, caller, offset = asked.query, asked.caller, asked.offset
        absent = [Phrase(each.words, prefix=each.prefix) for each in phrases if each.absent]
        if absent:
            asked.told["absent"] = self._index.told(absent, any_word=True)
        count = WIDER if asked.shape.narrow else MEANT
        nearest = partial(self._vectors.nearest, meaning, count, projects=_projects(query, caller))
        await self._vectors.refresh(meaning.model)
        # Where the database's work has a thread of its own there is no need of another.
        known = None if self._database.threaded else await self._vectors.aside(nearest)

        def work(connection: Connection) -> tuple[_Ranking, Mapping[int, Entry]]:
            best = self._meant(connection, asked, meaning, nearest() if known is None else known)
            if query.mode == "hybrid" and phrases:
                best = fuse(best, self._worded(connection, asked))
            page = best[offset : offset + query.limit + 1]
            return page, self._shown(connection, asked, page[: query.limit])

        page, entries = await self._database.look(work)
        shown = [Found(entries[seq], score) for score, seq in page[: query.limit] if seq in entries]
        following = asked.following(offset + query.limit) if len(page) > query.limit else None
        return Page(shown, following)

    def _meant(
        self, connection: Connection, asked: _Asked, meaning: Meaning, near: Sequence[int]
    ) -> _Ranking:
        """What fits of the entries near to the meaning, the nearest first."""
        statement = self._statements.meant(asked.shape, "absent" in asked.told)
        scores: dict[int, float] = {}
        for some in self._portions(connection, asked, meaning, near):
            told = asked.told | {"seqs": self._lists.given(some), "size": len(meaning.vector)}
            seqs, vectors = connection.execute(statement, told).one()
            scores.update(zip(seqs or (), self._vectors.likeness(meaning, vectors or b""), strict=True))
            if len(scores) >= asked.query.limit:
                break
        return sorted([(score, seq) for seq, score in scores.items() if score > 0], reverse=True)

    def _portions(
        self, connection: Connection, asked: _Asked, meaning: Meaning, near: Sequence[int]
    ) -> Iterator[Sequence[int]]:
        """Where to look as long as too little fits: the very nearest; more of them; the newest."""
        yield near[:MEANT]
        if len(near) < MEANT:
            return
        wider = near
        if not asked.shape.narrow:
            wider = self._vectors.nearest(meaning, WIDER, projects=_projects(asked.query, asked.caller))
        yield wider[MEANT:]
        if len(wider) == WIDER:
            among = connection.execute(self._statements.newest(asked.shape), asked.told).scalar_one()
            yield self._vectors.nearest(meaning, MEANT, among=among or ())

    def _worded(self, connection: Connection, asked: _Asked) -> _Ranking:
        statement = self._statements.worded(asked.shape, asked.query.any_word)
        seqs, scores = connection.execute(statement, asked.told | {"limit": WORDED}).one()
        return sorted(zip(scores or (), seqs or (), strict=True), reverse=True)

    def _shown(self, connection: Connection, asked: _Asked, page: _Ranking) -> Mapping[int, Entry]:
        statement = self._statements.shown(asked.shape.within)
        told = asked.told | {"seqs": self._lists.given([seq for _, seq in page])}
        return {row[0]: rows.entry(row) for row in connection.execute(statement, told).all()}


def fuse(*rankings: _Ranking) -> _Ranking:
    """One ranking of several, each best first: what stands high in more of them stands higher."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, (_, seq) in enumerate(ranking, RANK_OFFSET + 1):
            sums[seq] = sums.get(seq, 0.0) + 1 / rank
    return sorted([(score, seq) for seq, score in sums.items()], reverse=True)


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

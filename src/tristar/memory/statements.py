"""The statements of a search: built once for each shape of question, so that asking again costs little.

What a statement finds that is not shown comes as one row of lists: the driver gives the interpreter's lock
away with every row, and other threads take it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, FromClause, Integer, Select, bindparam, func, select

from tristar.memory import conditions
from tristar.memory.conditions import Shape
from tristar.memory.words import Phrase
from tristar.storage.schema import memory_entries, memory_vectors

RANKED = 1000
"""A search ranks the newest of what fits, this many: so a common word costs no more than a rare one."""

SIFTED = 20_000
"""Where few of the nearest fit the conditions, the newest that fit are searched instead: this many."""

KEPT = 256
"""So many shapes of each statement are kept."""

_entries = memory_entries.c
_vectors = memory_vectors.c
_LIMIT, _OFFSET = bindparam("limit", type_=Integer), bindparam("offset", type_=Integer)


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

    def told(self, phrases: Sequence[Phrase], *, any_word: bool) -> str:
        """The phrases in the engine's language: what the parameter of `matches` is set to."""
        ...

    def matches(self, parameter: str) -> ColumnElement[bool]:
        """The condition on `source`; of the phrases at least one is not `absent`."""
        ...

    def scored(self, hits: Select[Any], parameter: str, *, any_word: bool) -> Select[Any]:
        """`seq` and `score`, higher is better, of `hits`: a select of `seq` where `parameter` matches."""
        ...


class Lists(Protocol):
    """How an engine takes and gives many values at once."""

    def given(self, numbers: Sequence[int]) -> Any:  # noqa: ANN401 - the driver's own type
        """What the parameter of `each` is set to."""
        ...

    def each(self, parameter: str) -> ColumnElement[int]:
        """A column to select from, which holds the numbers of the parameter."""
        ...

    def gathered(self, several: Select[Any]) -> Select[Any]:
        """One row: for each column all its values, bytes joined, in one order; empty or None if none."""
        ...


class Statements:
    """What a search asks the database. Safe in every thread."""

    def __init__(self, index: WordIndex, lists: Lists) -> None:
        self._index = index
        self._lists = lists
        self.listed = lru_cache(KEPT)(self._listed)
        self.best = lru_cache(KEPT)(self._best)
        self.worded = lru_cache(KEPT)(self._worded)
        self.meant = lru_cache(KEPT)(self._meant)
        self.newest = lru_cache(KEPT)(self._newest)
        self.shown = lru_cache(KEPT)(self._shown)

    def _listed(self, shape: Shape, after: bool) -> Select[Any]:
        """Whole entries, newest first, behind `after`; `limit`."""
        wanted = conditions.of_entries(select(memory_entries), shape).order_by(_entries.seq.desc())
        if after:
            wanted = wanted.where(_entries.seq < bindparam("after", type_=_entries.seq.type))
        return wanted.limit(_LIMIT)

    def _best(self, shape: Shape, any_word: bool) -> Select[Any]:
        """Whole entries that match `words`, and their score, best first; `limit`, `offset`."""
        best = self._ranked(shape, any_word=any_word).offset(_OFFSET).subquery()
        return (
            select(memory_entries, best.c.score)
            .join(best, _entries.seq == best.c.seq)
            .order_by(best.c.score.desc(), best.c.seq.desc())
        )

    def _worded(self, shape: Shape, any_word: bool) -> Select[Any]:
        """Gathered, in any order: `seq` and `score` of the `limit` best that match `words`."""
        return self._lists.gathered(self._ranked(shape, any_word=any_word))

    def _meant(self, shape: Shape, without: bool) -> Select[Any]:
        """Gathered: `seq` and `vector`, if of `size` bytes, of `seqs` that fit and do not match `absent`."""
        each, seq = self._lists.each("seqs"), _vectors.entry_seq
        fit = conditions.beside(select(each), shape, each)
        if without:
            fit = fit.where(each.not_in(select(self._index.seq).where(self._index.matches("absent"))))
        comparable = func.length(_vectors.vector) == bindparam("size", type_=Integer)
        return self._lists.gathered(select(seq.label("seq"), _vectors.vector).where(seq.in_(fit), comparable))

    def _newest(self, shape: Shape) -> Select[Any]:
        """Gathered: `seq` of the newest that fit."""
        wanted = conditions.of_entries(select(_entries.seq), shape, by_tag=True)
        return self._lists.gathered(wanted.order_by(_entries.seq.desc()).limit(SIFTED))

    def _shown(self, within: bool) -> Select[Any]:
        """Whole entries: those of `seqs` that are still there, and the caller's."""
        shape = Shape(within=within, project=False, type=False, subject=False, min_confidence=False, tags=0)
        return conditions.of_entries(select(memory_entries), shape).where(
            _entries.seq.in_(select(self._lists.each("seqs")))
        )

    def _ranked(self, shape: Shape, *, any_word: bool) -> Select[Any]:
        """`seq` and `score` of the best of the newest."""
        index = self._index
        hits = select(index.seq.label("seq")).select_from(index.source).where(index.matches("words"))
        hits = conditions.beside(hits, shape, index.seq).order_by(index.seq.desc()).limit(RANKED)
        newest = index.scored(hits, "words", any_word=any_word).subquery()
        score, seq = newest.c.score, newest.c.seq
        return select(seq, score).order_by(score.desc(), seq.desc()).limit(_LIMIT)

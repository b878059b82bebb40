"""The word index of PostgreSQL: a tsvector with a GIN index, ranked by cover density."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    LargeBinary,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    table,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, TSVECTOR

from tristar.clock import Clock
from tristar.memory.sql import SqlStore
from tristar.memory.vectors import Vectors
from tristar.memory.words import Phrase, split
from tristar.storage.engine import Database

_LENGTH_NORMALISED = 1
"""ts_rank, ts_rank_cd: divide by 1 + the logarithm of the document's length."""


def store(database: Database, vectors: Vectors, clock: Clock) -> SqlStore:
    """The memory in this PostgreSQL database."""
    return SqlStore(database, Tsvector(), Arrays(), vectors, clock)


def index_row(connection: Connection, row: Row[Any]) -> None:
    """Put the words of a moved entry, a row of `memory_entries`, into the index."""
    Tsvector().put_new(connection, [(row.seq, split(" ".join((row.content, *row.tags))))])


class Tsvector:
    """See `tristar.memory.statements.WordIndex`. Rows of deleted entries go with them by foreign key.

    Vectors and queries are written in PostgreSQL's own notation, past its parser: what a word is,
    `tristar.memory.words` alone decides.
    """

    source = table("memory_words", column("entry_seq", BigInteger), column("words", TSVECTOR))
    seq = source.c.entry_seq

    def put_new(self, connection: Connection, several: Sequence[tuple[int, Sequence[str]]]) -> None:
        """See `WordIndex.put_new`."""
        vectors = [{"entry_seq": seq, "words": vector_of(words)} for seq, words in several]
        connection.execute(_TAKE_IN, vectors)

    def put(self, connection: Connection, seq: int, words: Sequence[str]) -> None:
        """See `WordIndex.put`."""
        vector = cast(bindparam(None, vector_of(words), type_=Text), TSVECTOR)
        connection.execute(update(self.source).where(self.seq == seq).values(words=vector))

    def purge(self, connection: Connection) -> None:
        """See `WordIndex.purge`: the index is vacuumed with its table (`Database.purge`)."""

    def told(self, phrases: Sequence[Phrase], *, any_word: bool) -> str:
        """See `WordIndex.told`."""
        return expression(phrases, any_word=any_word)

    def matches(self, parameter: str) -> ColumnElement[bool]:
        """See `WordIndex.matches`."""
        return self.source.c.words.bool_op("@@")(_query(parameter))

    def scored(self, hits: Select[Any], parameter: str, *, any_word: bool) -> Select[Any]:
        """See `WordIndex.scored`. Of those alone that are ranked the words are read."""
        found = hits.subquery()
        # Cover density wants all words near each other; where any will do, their number counts.
        rank = func.ts_rank if any_word else func.ts_rank_cd
        score = type_coerce(rank(self.source.c.words, _query(parameter), _LENGTH_NORMALISED), Float)
        joined = found.join(self.source, self.seq == found.c.seq)
        return select(found.c.seq, score.label("score")).select_from(joined)


class Arrays:
    """See `tristar.memory.statements.Lists`."""

    def given(self, numbers: Sequence[int]) -> list[int]:
        """See `Lists.given`."""
        return list(numbers)

    def each(self, parameter: str) -> ColumnElement[int]:
        """See `Lists.each`."""
        return func.unnest(bindparam(parameter, type_=ARRAY(BigInteger)), type_=BigInteger).column_valued()

    def gathered(self, several: Select[Any]) -> Select[Any]:
        """See `Lists.gathered`."""
        return select(*(_gathered(each).label(each.key) for each in several.subquery().c))


def _gathered(values: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(values.type, LargeBinary):
        return func.string_agg(values, literal(b"", LargeBinary), type_=LargeBinary)
    return func.array_agg(values, type_=ARRAY(values.type))


_TAKE_IN = insert(Tsvector.source).values(
    entry_seq=bindparam("entry_seq"), words=cast(bindparam("words", type_=Text), TSVECTOR)
)


def vector_of(words: Sequence[str]) -> str:
    """The words with their positions as a tsvector is written; they are letters and digits alone."""
    return " ".join(f"{word}:{at}" for at, word in enumerate(words, 1))


def expression(phrases: Sequence[Phrase], *, any_word: bool = False) -> str:
    """The phrases as a tsquery is written."""
    return (" | " if any_word else " & ").join(
        ("!" if phrase.absent else "") + _sequence(phrase) for phrase in phrases
    )


def _query(parameter: str) -> ColumnElement[object]:
    return cast(bindparam(parameter, type_=Text), TSQUERY)


def _sequence(phrase: Phrase) -> str:
    return "(" + " <-> ".join(phrase.words) + (":*" if phrase.prefix else "") + ")"

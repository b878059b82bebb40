"""The word index of SQLite: its FTS5, ranked by BM25."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Integer,
    LargeBinary,
    Select,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
    type_coerce,
)
from sqlalchemy.types import TypeDecorator

from tristar.clock import Clock
from tristar.memory.sql import SqlStore
from tristar.memory.vectors import Vectors
from tristar.memory.words import Phrase
from tristar.storage.engine import Database


def store(database: Database, vectors: Vectors, clock: Clock) -> SqlStore:
    """The memory in this SQLite database."""
    return SqlStore(database, Fts5(), JsonLists(), vectors, clock)


class Fts5:
    """See `tristar.memory.statements.WordIndex`. Rows of deleted entries are dropped by a trigger."""

    source = table("memory_words", column("rowid", Integer), column("words"))
    seq = source.c.rowid

    def put_new(self, connection: Connection, several: Sequence[tuple[int, Sequence[str]]]) -> None:
        """See `WordIndex.put_new`."""
        connection.execute(
            insert(self.source), [{"rowid": seq, "words": " ".join(words)} for seq, words in several]
        )

    def put(self, connection: Connection, seq: int, words: Sequence[str]) -> None:
        """See `WordIndex.put`."""
        connection.execute(delete(self.source).where(self.seq == seq))
        self.put_new(connection, [(seq, words)])

    def purge(self, connection: Connection) -> None:
        """See `WordIndex.purge`: what was deleted stays in the index's older parts until they are merged."""
        connection.exec_driver_sql("INSERT INTO memory_words (memory_words) VALUES ('optimize')")

    def told(self, phrases: Sequence[Phrase], *, any_word: bool) -> str:
        """See `WordIndex.told`."""
        return expression(phrases, any_word=any_word)

    def matches(self, parameter: str) -> ColumnElement[bool]:
        """See `WordIndex.matches`."""
        return literal_column("memory_words").bool_op("MATCH")(bindparam(parameter, type_=Text))

    def scored(self, hits: Select[Any], parameter: str, *, any_word: bool) -> Select[Any]:  # noqa: ARG002 - FTS5 ranks by its own match
        """See `WordIndex.scored`; FTS5 counts downwards."""
        rank = type_coerce(func.bm25(literal_column("memory_words")), Float)
        return hits.add_columns((-rank).label("score"))


class JsonLists:
    """See `tristar.memory.statements.Lists`. Numbers as JSON."""

    def given(self, numbers: Sequence[int]) -> str:
        """See `Lists.given`."""
        return msgspec.json.encode(numbers).decode()

    def each(self, parameter: str) -> ColumnElement[int]:
        """See `Lists.each`."""
        return func.json_each(bindparam(parameter, type_=Text)).table_valued(column("value", Integer)).c.value

    def gathered(self, several: Select[Any]) -> Select[Any]:
        """See `Lists.gathered`."""
        return select(*(_gathered(each).label(each.key) for each in several.subquery().c))


def _gathered(values: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(values.type, LargeBinary):
        # Joined by their lengths, whatever is in them; as a text the driver would decode them.
        return cast(func.group_concat(values, ""), LargeBinary)
    return type_coerce(func.json_group_array(values), _Numbers)


class _Numbers(TypeDecorator[list[float]]):
    impl, cache_ok = Text, True

    def process_result_value(self, value: str | None, dialect: Dialect) -> list[float] | None:
        del dialect
        return None if value is None else msgspec.json.decode(value)


def expression(phrases: Sequence[Phrase], *, any_word: bool = False) -> str:
    """The phrases in FTS5's language; words are letters and digits, so that quoting is complete."""
    wanted = (" OR " if any_word else " AND ").join(
        _quoted(phrase) for phrase in phrases if not phrase.absent
    )
    return f"({wanted})" + "".join(f" NOT {_quoted(phrase)}" for phrase in phrases if phrase.absent)


def _quoted(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"' + ("*" if phrase.prefix else "")

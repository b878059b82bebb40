"""The word index of SQLite: its FTS5, ranked by BM25."""

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    table,
    type_coerce,
)

from tristar.clock import Clock
from tristar.memory.sql import SqlStore
from tristar.memory.vectors import Vectors
from tristar.memory.words import Phrase
from tristar.storage.engine import Database


def store(database: Database, vectors: Vectors, clock: Clock) -> SqlStore:
    """The memory in this SQLite database."""
    return SqlStore(database, Fts5(), vectors, clock)


class Fts5:
    """See `tristar.memory.search.WordIndex`. Rows of deleted entries are dropped by a trigger."""

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

    def matches(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[bool]:
        """See `WordIndex.matches`."""
        return literal_column("memory_words").bool_op("MATCH")(
            bindparam(None, expression(phrases, any_word=any_word))
        )

    def score(self, phrases: Sequence[Phrase], *, any_word: bool) -> ColumnElement[float]:  # noqa: ARG002 - FTS5 ranks by its own match
        """See `WordIndex.score`; FTS5 counts downwards."""
        return -type_coerce(func.bm25(literal_column("memory_words")), Float)


def expression(phrases: Sequence[Phrase], *, any_word: bool = False) -> str:
    """The phrases in FTS5's language; words are letters and digits, so that quoting is complete."""
    wanted = (" OR " if any_word else " AND ").join(
        _quoted(phrase) for phrase in phrases if not phrase.absent
    )
    return f"({wanted})" + "".join(f" NOT {_quoted(phrase)}" for phrase in phrases if phrase.absent)


def _quoted(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"' + ("*" if phrase.prefix else "")

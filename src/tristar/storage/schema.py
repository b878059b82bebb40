"""Every table, as the newest migration leaves it.

Times are microseconds since the Unix epoch, money is millionths of a US dollar: whole
numbers compare alike in every engine. Full-text search lives in a table that differs by
engine (`memory_words`) and is therefore made by the migration and addressed in SQL.
"""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

HEAD: Final = "0007"
"""The revision that this code works with; a test holds it equal to the newest migration."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Sequence64 = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit number that the database counts up; SQLite does so only for the type INTEGER."""

key_revision = Table(
    "key_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
"""One row. Moves on with every change of any key, under its row lock: 0 means no key was ever made."""

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("llms", JSON(none_as_null=True)),
    Column("projects", JSON(none_as_null=True)),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("max_concurrent", BigInteger),
    Column("budget_day_microusd", BigInteger),
    Column("budget_month_microusd", BigInteger),
    Column("allow_unpriced", Boolean, nullable=False),
    Column("prompt_policy", Text),
    Column("llm_limits", JSON(none_as_null=True)),
    Column("former_hash", LargeBinary),
    Column("former_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
)
"""`revision` is the value that `key_revision` took when this row last changed."""

memory_entries = Table(
    "memory_entries",
    metadata,
    Column("seq", Sequence64, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("project", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("importance", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("created_by", Text, nullable=False),
    Column("llm_id", Text),
    Column("trace_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, index=True),
    Column("subject", Text, index=True),
    Index(None, "project", "seq"),
    sqlite_autoincrement=True,
)
"""`seq` is never used twice, so that a cursor and the word index cannot meet a stranger's row."""


def _entry_seq(*, primary_key: bool) -> Column[int]:
    return Column(
        "entry_seq",
        Sequence64,
        ForeignKey(memory_entries.c.seq, ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
        autoincrement=False,
    )


memory_tags = Table(
    "memory_tags",
    metadata,
    Column("tag", Text, primary_key=True),
    _entry_seq(primary_key=True),
    Index(None, "entry_seq"),
)
"""An entry's tags once more, for finding by tag."""

memory_history = Table(
    "memory_history",
    metadata,
    _entry_seq(primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("change", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("importance", Float(53), nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("llm_id", Text),
    Column("trace_id", Text, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)
"""What an entry was at each version, the present one included; gone with the entry."""

memory_votes = Table(
    "memory_votes",
    metadata,
    _entry_seq(primary_key=True),
    Column("content_hash", Text, primary_key=True),
    Column("llm_id", Text, primary_key=True),
    Column("vote", Text, primary_key=True),
    Column("voted_by", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("voted_at", BigInteger, nullable=False),
)
"""Who confirmed or contradicted which content: once per llm, content and kind of vote."""

memory_awaiting = Table(
    "memory_awaiting",
    metadata,
    _entry_seq(primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("not_before", BigInteger, nullable=False),
)
"""The entries without a vector of their present content; who takes one on moves `not_before`."""

memory_embeddings = Table(
    "memory_embeddings",
    metadata,
    _entry_seq(primary_key=True),
    Column("model", Text, nullable=False),
    Column("dims", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("bits", LargeBinary, nullable=False),
)
"""The signs of each vector, a bit per dimension: what every process keeps in its memory to search by.

`revision` is the value that `memory_revision` took when the row, or its entry's project, last changed.
"""

memory_vectors = Table(
    "memory_vectors",
    metadata,
    _entry_seq(primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
"""The vectors themselves, of length 1, as little-endian half-precision numbers."""

memory_revision = Table(
    "memory_revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
"""One row. Moves on with every change of `memory_embeddings`, under its row lock."""

spendings = Table(
    "spendings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("day", BigInteger, nullable=False),
    Column("spent_day", BigInteger, nullable=False),
    Column("month", BigInteger, nullable=False),
    Column("spent_month", BigInteger, nullable=False),
)
"""What holders of budgets have spent in their latest day and month, UTC; see `limits.calendar`."""

"""Keys, and the memory with its tags, history, votes and word index."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """From nothing."""
    _make_keys()
    _make_entries()
    _make_companions()
    _make_words()


def downgrade() -> None:
    """Back to nothing; every key and every entry is lost."""
    for table in (
        "memory_words",
        "memory_votes",
        "memory_history",
        "memory_tags",
        "memory_entries",
        "keys",
        "key_revision",
    ):
        op.drop_table(table)


def _make_keys() -> None:
    revisions = op.create_table(
        "key_revision",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_key_revision"),
    )
    op.bulk_insert(revisions, [{"id": 1, "value": 0}])
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("llms", sa.JSON),
        sa.Column("projects", sa.JSON),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("max_concurrent", sa.BigInteger),
        sa.Column("budget_day_microusd", sa.BigInteger),
        sa.Column("budget_month_microusd", sa.BigInteger),
        sa.Column("allow_unpriced", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("key_hash", name="uq_keys_key_hash"),
    )
    op.create_index("ix_keys_revision", "keys", ["revision"])


def _make_entries() -> None:
    op.create_table(
        "memory_entries",
        sa.Column("seq", _SEQ, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("importance", sa.Float(53), nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("llm_id", sa.Text),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_memory_entries"),
        sa.UniqueConstraint("id", name="uq_memory_entries_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_memory_entries_expires_at", "memory_entries", ["expires_at"])
    op.create_index("ix_memory_entries_project_seq", "memory_entries", ["project", "seq"])


def _make_companions() -> None:
    op.create_table(
        "memory_tags",
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("entry_seq", _SEQ, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tag", "entry_seq", name="pk_memory_tags"),
        _of_entry("memory_tags"),
    )
    op.create_index("ix_memory_tags_entry_seq", "memory_tags", ["entry_seq"])
    op.create_table(
        "memory_history",
        sa.Column("entry_seq", _SEQ, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("importance", sa.Float(53), nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("llm_id", sa.Text),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("entry_seq", "version", name="pk_memory_history"),
        _of_entry("memory_history"),
    )
    op.create_table(
        "memory_votes",
        sa.Column("entry_seq", _SEQ, autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("llm_id", sa.Text, nullable=False),
        sa.Column("vote", sa.Text, nullable=False),
        sa.Column("voted_by", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("voted_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("entry_seq", "content_hash", "llm_id", "vote", name="pk_memory_votes"),
        _of_entry("memory_votes"),
    )


def _of_entry(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["entry_seq"], ["memory_entries.seq"], name=f"fk_{table}_entry_seq", ondelete="CASCADE"
    )


def _make_words() -> None:
    """The words of each entry, already split and folded by `memory.words`, in the engine's own index."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            'CREATE VIRTUAL TABLE memory_words USING fts5(words, tokenize = "unicode61 remove_diacritics 0")'
        )
        op.execute(
            "CREATE TRIGGER memory_entries_words_gone AFTER DELETE ON memory_entries "
            "BEGIN DELETE FROM memory_words WHERE rowid = old.seq; END"
        )
        return
    op.execute(
        "CREATE TABLE memory_words ("
        "entry_seq BIGINT CONSTRAINT pk_memory_words PRIMARY KEY "
        "CONSTRAINT fk_memory_words_entry_seq REFERENCES memory_entries (seq) ON DELETE CASCADE, "
        "words TSVECTOR NOT NULL)"
    )
    op.execute("CREATE INDEX ix_memory_words_words ON memory_words USING gin (words)")

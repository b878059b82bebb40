"""What entries mean: which await their vectors, and the vectors of the others."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLES = ("memory_awaiting", "memory_embeddings", "memory_vectors")


def upgrade() -> None:
    """Every entry awaits its vector."""
    _make("memory_awaiting", sa.Column("tries", sa.Integer, nullable=False), _number("not_before"))
    _make(
        "memory_embeddings",
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("dims", sa.Integer, nullable=False),
        _number("revision"),
        sa.Column("bits", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_memory_embeddings_revision", "memory_embeddings", ["revision"])
    _make("memory_vectors", sa.Column("vector", sa.LargeBinary, nullable=False))
    revisions = op.create_table(
        "memory_revision",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        _number("value"),
        sa.PrimaryKeyConstraint("id", name="pk_memory_revision"),
    )
    op.bulk_insert(revisions, [{"id": 1, "value": 0}])
    op.execute(
        "INSERT INTO memory_awaiting (entry_seq, tries, not_before) SELECT seq, 0, 0 FROM memory_entries"
    )


def downgrade() -> None:
    """The vectors are lost; they can be made again."""
    for table in (*_TABLES, "memory_revision"):
        op.drop_table(table)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _make(table: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        table,
        sa.Column("entry_seq", _SEQ, autoincrement=False, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("entry_seq", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["entry_seq"], ["memory_entries.seq"], name=f"fk_{table}_entry_seq", ondelete="CASCADE"
        ),
    )

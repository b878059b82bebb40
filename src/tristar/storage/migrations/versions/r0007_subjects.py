"""Whom memory entries are about."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Of entries made before nobody knows."""
    op.add_column("memory_entries", sa.Column("subject", sa.Text))
    op.create_index("ix_memory_entries_subject", "memory_entries", ["subject"])


def downgrade() -> None:
    """Nobody knows of any."""
    op.drop_index("ix_memory_entries_subject", "memory_entries")
    op.drop_column("memory_entries", "subject")

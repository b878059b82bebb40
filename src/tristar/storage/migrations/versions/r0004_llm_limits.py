"""Limits of a key on single llms."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Keys made before have none."""
    op.add_column("keys", sa.Column("llm_limits", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    """Keys keep the limits that hold for all llms together."""
    op.drop_column("keys", "llm_limits")

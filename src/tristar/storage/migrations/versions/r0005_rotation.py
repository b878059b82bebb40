"""Keys that are rotated: the key before, and until when it works beside the new one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """No key was rotated yet."""
    op.add_column("keys", sa.Column("former_hash", sa.LargeBinary))
    op.add_column("keys", sa.Column("former_until", sa.BigInteger))


def downgrade() -> None:
    """Keys that were replaced end at once."""
    op.drop_column("keys", "former_until")
    op.drop_column("keys", "former_hash")

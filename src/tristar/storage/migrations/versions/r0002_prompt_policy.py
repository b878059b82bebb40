"""What the audit log keeps of a key's prompts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Keys made before leave it to the llms."""
    op.add_column("keys", sa.Column("prompt_policy", sa.Text))


def downgrade() -> None:
    """Every key leaves it to the llms again."""
    op.drop_column("keys", "prompt_policy")

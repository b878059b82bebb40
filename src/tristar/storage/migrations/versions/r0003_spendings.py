"""What has been spent of budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing is spent yet."""
    op.create_table(
        "spendings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("spent_day", sa.BigInteger, nullable=False),
        sa.Column("month", sa.BigInteger, nullable=False),
        sa.Column("spent_month", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_spendings"),
    )


def downgrade() -> None:
    """Budgets begin afresh."""
    op.drop_table("spendings")

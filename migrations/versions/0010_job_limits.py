"""What a job may spend, for the quotas of its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COMMENT = "what it may spend at most by its own limit"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("money_limit_usd", sa.Float(), nullable=True, comment=COMMENT), schema="kit")
    op.add_column("jobs", sa.Column("token_limit", sa.BigInteger(), nullable=True, comment=COMMENT), schema="kit")


def downgrade() -> None:
    op.drop_column("jobs", "token_limit", schema="kit")
    op.drop_column("jobs", "money_limit_usd", schema="kit")

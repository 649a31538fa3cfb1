"""Count what jobs spend, by day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_usage",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), server_default=sa.text("(now() AT TIME ZONE 'UTC')::date"), nullable=False),
        sa.Column("api_key", sa.String(), nullable=True),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("money_usd", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["kit.jobs.id"], name="fk_job_usage_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "day", name="pk_job_usage"),
        schema="kit",
    )
    op.create_index("ix_job_usage_api_key_day", "job_usage", ["api_key", "day"], schema="kit")


def downgrade() -> None:
    op.drop_table("job_usage", schema="kit")

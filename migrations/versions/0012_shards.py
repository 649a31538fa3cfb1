"""Shards of searches that are split."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shards",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("part", postgresql.JSONB(astext_type=sa.Text(), none_as_null=True), nullable=True),
        sa.CheckConstraint("part IS NULL OR lease_until IS NULL", name=op.f("ck_shards_kept_is_free")),
        sa.CheckConstraint("part IS NULL OR attempt > 0", name=op.f("ck_shards_kept_was_tried")),
        sa.ForeignKeyConstraint(["job_id"], ["kit.jobs.id"], name=op.f("fk_shards_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_shards")),
        schema="planner",
    )


def downgrade() -> None:
    op.drop_table("shards", schema="planner")

"""batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("rejections", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("finished <= accepted", name=op.f("ck_batches_finished")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        schema="kit",
    )
    op.create_index(
        "ix_batches_cancelling",
        "batches",
        ["id"],
        unique=False,
        schema="kit",
        postgresql_where=sa.text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index("ix_batches_owner_id", "batches", ["service", "owner", "id"], unique=False, schema="kit")
    op.add_column(
        "jobs", sa.Column("priority", sa.SmallInteger(), server_default=sa.text("5"), nullable=False), schema="kit"
    )
    op.add_column("jobs", sa.Column("batch_id", sa.Uuid(), nullable=True), schema="kit")
    op.add_column(
        "jobs",
        sa.Column(
            "batch_seq", sa.Integer(), nullable=True, comment="counts the batch's jobs in the order of their ends"
        ),
        schema="kit",
    )
    op.create_check_constraint(op.f("ck_jobs_priority"), "jobs", "priority BETWEEN 0 AND 9", schema="kit")
    op.create_index(
        "uq_jobs_batch_seq",
        "jobs",
        ["batch_id", "batch_seq"],
        unique=True,
        schema="kit",
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_jobs_batch_id_batches"),
        "jobs",
        "batches",
        ["batch_id"],
        ["id"],
        source_schema="kit",
        referent_schema="kit",
        ondelete="SET NULL",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_jobs_batch_id_batches"), "jobs", schema="kit", type_="foreignkey")
    op.drop_index(
        "uq_jobs_batch_seq", table_name="jobs", schema="kit", postgresql_where=sa.text("batch_id IS NOT NULL")
    )
    op.drop_column("jobs", "batch_seq", schema="kit")
    op.drop_column("jobs", "batch_id", schema="kit")
    op.drop_column("jobs", "priority", schema="kit")
    op.drop_index("ix_batches_owner_id", table_name="batches", schema="kit")
    op.drop_index(
        "ix_batches_cancelling",
        table_name="batches",
        schema="kit",
        postgresql_where=sa.text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.drop_table("batches", schema="kit")

"""jobs, keys, plans, episodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_keys")),
        schema="kit",
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("status", sa.String(), server_default="queued", nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("spec_sha256", sa.String(), nullable=False),
        sa.Column("active_key", sa.String(), nullable=True),
        sa.Column("leader_id", sa.Uuid(), nullable=True),
        sa.Column("labels", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("error", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("event_seq", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IN ('cancelled', 'failed', 'succeeded')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished"),
        ),
        sa.CheckConstraint(
            "(status IN ('cancelling', 'running')) = (lease_until IS NOT NULL)", name=op.f("ck_jobs_lease")
        ),
        sa.CheckConstraint("status <> 'failed' OR error IS NOT NULL", name=op.f("ck_jobs_failed_has_error")),
        sa.CheckConstraint(
            "status IN ('cancelled', 'cancelling', 'failed', 'queued', 'running', 'succeeded')",
            name=op.f("ck_jobs_status"),
        ),
        sa.CheckConstraint("attempt BETWEEN 0 AND max_attempts", name=op.f("ck_jobs_attempt")),
        sa.ForeignKeyConstraint(
            ["leader_id"], ["kit.jobs.id"], name=op.f("fk_jobs_leader_id_jobs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        schema="kit",
    )
    op.create_index(
        "ix_jobs_leader_id",
        "jobs",
        ["leader_id"],
        unique=False,
        schema="kit",
        postgresql_where=sa.text("leader_id IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_lease_until",
        "jobs",
        ["lease_until"],
        unique=False,
        schema="kit",
        postgresql_where=sa.text("leader_id IS NULL AND lease_until IS NOT NULL"),
    )
    op.create_index("ix_jobs_owner_id", "jobs", ["service", "owner", "id"], unique=False, schema="kit")
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["dispatched_at"],
        unique=False,
        schema="kit",
        postgresql_where=sa.text("status = 'queued' AND leader_id IS NULL"),
    )
    op.create_index(
        "uq_jobs_active_key",
        "jobs",
        ["service", "active_key"],
        unique=True,
        schema="kit",
        postgresql_where=sa.text("leader_id IS NULL AND status IN ('cancelling', 'queued', 'running')"),
    )
    op.create_index("uq_jobs_external_id", "jobs", ["service", "owner", "external_id"], unique=True, schema="kit")
    op.create_index(
        "uq_jobs_idempotency_key", "jobs", ["service", "owner", "idempotency_key"], unique=True, schema="kit"
    )
    op.create_table(
        "searches",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_searches")),
        schema="planner",
    )
    op.create_table(
        "episodes",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("result", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["kit.jobs.id"], name=op.f("fk_episodes_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_episodes")),
        schema="codetree",
    )
    op.create_table(
        "job_events",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "key",
            sa.String(),
            nullable=True,
            comment="names what happened, so that a resumed attempt logs it once",
        ),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["kit.jobs.id"], name=op.f("fk_job_events_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_job_events")),
        schema="kit",
    )
    op.create_index(
        "uq_job_events_key",
        "job_events",
        ["job_id", "key"],
        unique=True,
        schema="kit",
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["kit.jobs.id"], name=op.f("fk_outbox_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_outbox")),
        schema="kit",
    )
    op.create_index(op.f("ix_outbox_position"), "outbox", ["position"], unique=False, schema="kit")
    op.create_table(
        "plans",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("search_key", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["kit.jobs.id"], name=op.f("fk_plans_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_plans")),
        schema="planner",
    )
    op.create_index(op.f("ix_plans_search_key"), "plans", ["search_key"], unique=False, schema="planner")
    op.create_table(
        "nodes",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("node", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["codetree.episodes.job_id"], name=op.f("fk_nodes_job_id_episodes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "path", name=op.f("pk_nodes")),
        schema="codetree",
    )
    op.create_table(
        "recorded",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["codetree.episodes.job_id"], name=op.f("fk_recorded_job_id_episodes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "key", "kind", name=op.f("pk_recorded")),
        schema="codetree",
    )


def downgrade() -> None:
    op.drop_table("recorded", schema="codetree")
    op.drop_table("nodes", schema="codetree")
    op.drop_index(op.f("ix_plans_search_key"), table_name="plans", schema="planner")
    op.drop_table("plans", schema="planner")
    op.drop_index(op.f("ix_outbox_position"), table_name="outbox", schema="kit")
    op.drop_table("outbox", schema="kit")
    op.drop_table("job_events", schema="kit")
    op.drop_table("episodes", schema="codetree")
    op.drop_table("searches", schema="planner")
    op.drop_index("uq_jobs_idempotency_key", table_name="jobs", schema="kit")
    op.drop_index("uq_jobs_external_id", table_name="jobs", schema="kit")
    op.drop_index(
        "uq_jobs_active_key",
        table_name="jobs",
        schema="kit",
        postgresql_where=sa.text("leader_id IS NULL AND status IN ('cancelling', 'queued', 'running')"),
    )
    op.drop_index(
        "ix_jobs_queued",
        table_name="jobs",
        schema="kit",
        postgresql_where=sa.text("status = 'queued' AND leader_id IS NULL"),
    )
    op.drop_index("ix_jobs_owner_id", table_name="jobs", schema="kit")
    op.drop_index(
        "ix_jobs_lease_until",
        table_name="jobs",
        schema="kit",
        postgresql_where=sa.text("leader_id IS NULL AND lease_until IS NOT NULL"),
    )
    op.drop_index(
        "ix_jobs_leader_id", table_name="jobs", schema="kit", postgresql_where=sa.text("leader_id IS NOT NULL")
    )
    op.drop_table("jobs", schema="kit")
    op.drop_table("api_keys", schema="kit")

"""Count ended jobs as they end instead of at each scrape; find old searches without reading all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Until now the totals held pruned jobs only: what is still there is noted, and the relay adds it.
NOTE_ENDED_JOBS = "INSERT INTO kit.endings (job_id) SELECT id FROM kit.jobs WHERE finished_at IS NOT NULL"
COUNT_DELIVERIES = """
INSERT INTO kit.totals (name, service, label, value)
SELECT 'deliveries', jobs.service, deliveries.status, count(*)
FROM kit.webhook_deliveries AS deliveries JOIN kit.jobs AS jobs ON jobs.id = deliveries.job_id
WHERE deliveries.status <> 'pending' GROUP BY jobs.service, deliveries.status
"""
# Before, jobs that are there were counted by looking: sums that hold them too would count them twice, and nobody can
# tell the shares apart. A counter that begins again is a reset to Prometheus.
FORGET_THE_SUMS = "DELETE FROM kit.totals"


def upgrade() -> None:
    op.create_table("endings", sa.Column("job_id", sa.Uuid(), nullable=False), schema="kit")
    op.execute(NOTE_ENDED_JOBS)
    op.execute(COUNT_DELIVERIES)
    op.create_index(
        "ix_jobs_active_followers",
        "jobs",
        ["service"],
        schema="kit",
        postgresql_where=sa.text("leader_id IS NOT NULL AND status IN ('cancelling', 'queued', 'running')"),
    )
    op.create_index("ix_searches_created_at", "searches", ["created_at"], schema="planner")


def downgrade() -> None:
    op.drop_index("ix_searches_created_at", table_name="searches", schema="planner")
    op.drop_index("ix_jobs_active_followers", table_name="jobs", schema="kit")
    op.drop_table("endings", schema="kit")
    op.execute(FORGET_THE_SUMS)

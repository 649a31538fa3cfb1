"""Rates and quotas of keys; the key that asked for a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ACTIVE_WITH_KEY = "api_key IS NOT NULL AND status IN ('cancelling', 'queued', 'running')"


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column("rate", sa.String(), nullable=True, comment="requests it may send, as 100/second; null: the setting"),
        schema="kit",
    )
    op.add_column(
        "api_keys",
        sa.Column("concurrent_jobs", sa.Integer(), nullable=True, comment="queued and running at once; null: no quota"),
        schema="kit",
    )
    for name, kind in (("money_usd_per_day", sa.Float()), ("tokens_per_day", sa.BigInteger())):
        op.add_column("api_keys", sa.Column(name, kind, nullable=True, comment="null: no quota"), schema="kit")
    op.add_column(
        "jobs",
        sa.Column("api_key", sa.String(), nullable=True, comment="prefix of the key that asked for it"),
        schema="kit",
    )
    op.create_index(
        "ix_jobs_api_key_active", "jobs", ["api_key"], schema="kit", postgresql_where=sa.text(ACTIVE_WITH_KEY)
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_api_key_active", table_name="jobs", schema="kit")
    op.drop_column("jobs", "api_key", schema="kit")
    for name in ("tokens_per_day", "money_usd_per_day", "concurrent_jobs", "rate"):
        op.drop_column("api_keys", name, schema="kit")

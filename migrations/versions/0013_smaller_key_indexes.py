"""Keep jobs without a key out of the indexes of keys: every insert writes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEYS = ("external_id", "idempotency_key")


def upgrade() -> None:
    for key in KEYS:
        op.drop_index(f"uq_jobs_{key}", table_name="jobs", schema="kit")
        op.create_index(
            f"uq_jobs_{key}",
            "jobs",
            ["service", "owner", key],
            unique=True,
            schema="kit",
            postgresql_where=sa.text(f"{key} IS NOT NULL"),
        )


def downgrade() -> None:
    for key in KEYS:
        op.drop_index(f"uq_jobs_{key}", table_name="jobs", schema="kit")
        op.create_index(f"uq_jobs_{key}", "jobs", ["service", "owner", key], unique=True, schema="kit")

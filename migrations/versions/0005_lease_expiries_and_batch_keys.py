"""Count the leases that ran out; let a batch be sent again under its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = ["service", "owner", "idempotency_key"]


def upgrade() -> None:
    expiries = sa.Column("lease_expiries", sa.Integer(), server_default=sa.text("0"), nullable=False)
    op.add_column("jobs", expiries, schema="kit")
    op.add_column("batches", sa.Column("idempotency_key", sa.String(), nullable=True), schema="kit")
    op.add_column("batches", sa.Column("body_sha256", sa.String(), nullable=False, server_default=""), schema="kit")
    op.alter_column("batches", "body_sha256", server_default=None, schema="kit")
    op.create_index("uq_batches_idempotency_key", "batches", KEY, unique=True, schema="kit")


def downgrade() -> None:
    op.drop_index("uq_batches_idempotency_key", table_name="batches", schema="kit")
    op.drop_column("batches", "body_sha256", schema="kit")
    op.drop_column("batches", "idempotency_key", schema="kit")
    op.drop_column("jobs", "lease_expiries", schema="kit")

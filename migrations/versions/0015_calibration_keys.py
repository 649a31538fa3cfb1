"""Let a calibration be sent again under its key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calibrations", sa.Column("idempotency_key", sa.String(), nullable=True), schema="planner")
    op.create_index(
        "uq_calibrations_idempotency_key", "calibrations", ["owner", "idempotency_key"], unique=True, schema="planner"
    )


def downgrade() -> None:
    op.drop_index("uq_calibrations_idempotency_key", table_name="calibrations", schema="planner")
    op.drop_column("calibrations", "idempotency_key", schema="planner")

"""Tell the owner's receiver that a job has ended: the delivery is written in the transaction that ends it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from uuid_utils.compat import uuid7

from kit.db import insert_rows
from kit.jobs.models import Job
from kit.webhooks.models import WebhookDelivery

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.orm import Session


def announce(session: Session, job_ids: Iterable[UUID]) -> None:
    """Write the deliveries of jobs that have just ended and want to be told."""
    query = select(Job).where(Job.id.in_(list(job_ids)), Job.webhook_url.is_not(None))
    now = datetime.now(UTC)
    rows = [
        {
            "id": uuid7(),
            "job_id": job.id,
            "owner": job.owner,
            "url": job.webhook_url,
            "payload": payload_of(job),
            "status": "pending",
            "attempts": 0,
            "next_attempt_at": now,
            "created_at": now,
        }
        for job in session.scalars(query.execution_options(populate_existing=True))
    ]
    insert_rows(session, WebhookDelivery, rows)


def payload_of(job: Job) -> dict[str, object]:
    """What the receiver is told: which job ended and how. The result is had from the API, with a key."""
    data = {
        "id": str(job.id),
        "service": job.service,
        "status": job.status,
        "external_id": job.external_id,
        "labels": job.labels,
        "error": job.error,
    }
    return {"type": f"job.{job.status}", "timestamp": datetime.now(UTC).isoformat(), "data": data}

"""The transactional outbox: a doorbell is written with the change that needs it, and rung by the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kit.jobs.models import Job, OutboxMessage
from kit.jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy.orm import Session

OUTBOX_CHANNEL = "astrolabe_outbox"


def ring(session: Session, job_ids: Iterable[UUID]) -> None:
    """Ask for the doorbell of each job; one that waits already is enough."""
    rows = [{"job_id": job_id} for job_id in job_ids]
    if rows:
        session.execute(insert(OutboxMessage).on_conflict_do_nothing(), rows)
        session.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))


def take(session: Session, limit: int) -> list[tuple[UUID, str]]:
    """Remove up to ``limit`` messages, oldest first: (job id, service). Rolled back, they are all there again."""
    taken = session.scalars(
        select(OutboxMessage.job_id).order_by(OutboxMessage.position).limit(limit).with_for_update(skip_locked=True)
    ).all()
    if not taken:
        return []
    session.execute(delete(OutboxMessage).where(OutboxMessage.job_id.in_(taken)))
    rows = session.execute(
        update(Job)
        .where(Job.id.in_(taken), Job.status == JobStatus.QUEUED, Job.leader_id.is_(None))
        .values(dispatched_at=func.now())
        .returning(Job.id, Job.service)
    ).all()
    return sorted((row.id, row.service) for row in rows)


def ring_again(session: Session, *conditions: ColumnElement[bool]) -> int:
    """Ring for the dispatched jobs that still wait (and meet ``conditions``): their messages may be lost."""
    waiting = (Job.status == JobStatus.QUEUED) & Job.leader_id.is_(None) & Job.dispatched_at.is_not(None)
    ids = session.scalars(select(Job.id).where(waiting, *conditions).order_by(Job.id)).all()
    ring(session, ids)
    return len(ids)


def services_waiting_since(session: Session, waited: timedelta) -> Sequence[str]:
    """The services with a job that was dispatched longer ago than ``waited`` and still is not claimed."""
    late = (Job.status == JobStatus.QUEUED) & Job.leader_id.is_(None) & (Job.dispatched_at < func.now() - waited)
    return session.scalars(select(Job.service).where(late).distinct()).all()

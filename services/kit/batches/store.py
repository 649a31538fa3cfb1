"""Every query of batches that are accepted already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from kit import paging
from kit.jobs.mass_cancel import cancel_many
from kit.jobs.models import Batch, Job, in_states
from kit.jobs.states import ACTIVE, JobStatus
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.paging import PageQuery

_CANCELS_AT_ONCE = 1000


def get(session: Session, service: str, owner: str, batch_id: UUID) -> Batch:
    """The owner's batch. Raises ``Problem`` 404, also for another owner's."""
    query = select(Batch).where(Batch.id == batch_id, Batch.service == service, Batch.owner == owner)
    batch = session.scalar(query)
    if batch is None:
        raise Problem(404, "not-found", "Not found", f"There is no batch {batch_id}.")
    return batch


def page(session: Session, service: str, owner: str, asked: PageQuery) -> tuple[Sequence[Batch], str | None]:
    """A page of the owner's batches, the newest first, and the cursor of the next one."""
    query = select(Batch).where(Batch.service == service, Batch.owner == owner)
    return paging.page(session, query, Batch.id, asked)


def counts(session: Session, batch_id: UUID) -> dict[JobStatus, int]:
    """How many of the batch's jobs are in each state."""
    query = select(Job.status, func.count()).where(Job.batch_id == batch_id).group_by(Job.status)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {status: found.get(status, 0) for status in JobStatus}


def ended(session: Session, batch_id: UUID, after: int, limit: int) -> Sequence[Job]:
    """The batch's jobs that ended after number ``after``, in the order of their ends."""
    query = select(Job).where(Job.batch_id == batch_id, Job.batch_seq > after).order_by(Job.batch_seq).limit(limit)
    return session.scalars(query).all()


def request_cancel(session: Session, batch_id: UUID) -> None:
    """Ask for the end of every job of the batch; the relay does it, a thousand at a time."""
    session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.finished_at.is_(None))
        .values(cancel_requested_at=func.coalesce(Batch.cancel_requested_at, func.now()))
    )


def cancel_some(session: Session) -> int:
    """Cancel some of the jobs whose batch is to end. Returns how many: none means that there are no more."""
    marked = select(Batch.id).where(Batch.cancel_requested_at.is_not(None), Batch.finished_at.is_(None))
    still_active = in_states(ACTIVE - {JobStatus.CANCELLING})
    query = select(Job.id).where(Job.batch_id.in_(marked), still_active).order_by(Job.id).limit(_CANCELS_AT_ONCE)
    job_ids = session.scalars(query.with_for_update(skip_locked=True)).all()
    if job_ids:
        cancel_many(session, job_ids)
    return len(job_ids)

"""Cancel many jobs in a few statements; one whose computation others share goes the way of a single cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, Uuid, any_, case, func, literal, null, select, update

from kit.jobs import transitions
from kit.jobs.announcement import announce
from kit.jobs.batch_counts import note_finished
from kit.jobs.events import log
from kit.jobs.models import Job, in_states
from kit.jobs.states import ACTIVE, JobStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import InstrumentedAttribute, Session


def cancel_many(session: Session, job_ids: Sequence[UUID]) -> None:
    """Cancel these active jobs, which this transaction has locked: none of them can get a follower meanwhile."""
    shared = _followed_by_others(session, job_ids)
    _cancel(session, [job_id for job_id in job_ids if job_id not in shared])
    for job_id in sorted(shared):
        transitions.cancel(session, job_id)


def _is_one_of(
    column: InstrumentedAttribute[UUID] | InstrumentedAttribute[UUID | None], ids: Collection[UUID]
) -> ColumnElement[bool]:
    return column == any_(literal(list(ids), ARRAY(Uuid)))


def _followed_by_others(session: Session, job_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those that lead a job which is not to be cancelled."""
    query = (
        select(Job.leader_id)
        .where(_is_one_of(Job.leader_id, job_ids), in_states(ACTIVE), ~_is_one_of(Job.id, job_ids))
        .distinct()
    )
    return frozenset(leader for leader in session.scalars(query) if leader is not None)


def _cancel(session: Session, job_ids: Sequence[UUID]) -> None:
    """What a worker holds is to be given up by it first; all others end at once."""
    is_held = (Job.status == JobStatus.RUNNING) & Job.leader_id.is_(None)
    values = {
        "status": case((is_held, JobStatus.CANCELLING), else_=JobStatus.CANCELLED),
        "active_key": case((is_held, null()), else_=Job.active_key),
        "lease_until": case((is_held, Job.lease_until), else_=null()),
        "worker": case((is_held, Job.worker), else_=null()),
        "finished_at": case((is_held, null()), else_=func.now()),
        "cancel_requested_at": func.coalesce(Job.cancel_requested_at, func.now()),
        "event_seq": Job.event_seq + 1,
    }
    changed = session.execute(
        update(Job)
        .where(_is_one_of(Job.id, job_ids), in_states(ACTIVE - {JobStatus.CANCELLING}))
        .values(values)
        .returning(Job.id, Job.event_seq, Job.status, Job.batch_id, Job.webhook_url)
        .execution_options(synchronize_session=False)
    ).all()
    for status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
        numbered = [(row.id, row.event_seq) for row in changed if row.status == status]
        if numbered:
            log(session, numbered, f"job.{status}", {"status": status})
    ended = [row for row in changed if row.status == JobStatus.CANCELLED]
    note_finished(session, [(row.id, row.batch_id) for row in ended if row.batch_id])
    announce(session, [row.id for row in ended if row.webhook_url])

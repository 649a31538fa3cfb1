"""Every change of a job's state after its creation, each conditional on the state before: none is lost or repeated.

A worker's writes are fenced: they hold only for the attempt that claimed the job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ARRAY, Integer, Interval, Uuid, bindparam, func, literal, select, update
from sqlalchemy.orm import aliased

from kit.jobs.events import change, is_logged, tell
from kit.jobs.models import Job, in_states
from kit.jobs.outbox import ring
from kit.jobs.states import ACTIVE, HELD, JobStatus
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.orm import Session

_RELEASED = {"lease_until": None, "worker": None}
_CLAIM = (
    select(Job)
    .from_statement(
        update(cast("Table", Job.__table__))
        .where(
            Job.id == bindparam("job"),
            Job.status == JobStatus.QUEUED,
            Job.leader_id.is_(None),
            Job.attempt < Job.max_attempts,
        )
        .values(
            status=JobStatus.RUNNING,
            attempt=Job.attempt + 1,
            worker=bindparam("worker"),
            lease_until=func.now() + bindparam("lease", type_=Interval),
            started_at=func.coalesce(Job.started_at, func.now()),
            event_seq=Job.event_seq + 1,
        )
        .returning(Job)
    )
    .execution_options(populate_existing=True)
)
_END = (
    update(cast("Table", Job.__table__))
    .where(Job.id == bindparam("job"), Job.attempt == bindparam("held"), Job.status == bindparam("before"))
    .values(
        **_RELEASED,
        status=bindparam("after"),
        error=bindparam("fault"),
        finished_at=func.now(),
        event_seq=Job.event_seq + 1,
    )
    .returning(Job.id)
)
"""Like the claim written once: a small job would take longer over writing it than Postgres over doing it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job: every write it makes names both, and is refused once another attempt began."""

    job_id: UUID
    attempt: int

    def holds(self, *states: JobStatus) -> ColumnElement[bool]:
        return (Job.attempt == self.attempt) & Job.status.in_(states or HELD)


@dataclass(frozen=True, slots=True)
class Claimed(Claim):
    """A claim just made, and the job as it is under it."""

    job: Job


class ClaimLostError(Exception):
    """The job is no longer this attempt's: its lease ran out, or it ended."""


def claim(session: Session, job_id: UUID, worker: str, lease: timedelta) -> Claimed | None:
    """Take a queued job for ``worker``, or None when it is not to be had (held, ended, or already tried too often)."""
    job = session.scalar(_CLAIM, {"job": job_id, "worker": worker, "lease": lease})
    if job is None:
        return None
    tell(session, job_id, "job.started", {"status": JobStatus.RUNNING, "attempt": job.attempt})
    return Claimed(job_id, job.attempt, job)


def renew(session: Session, held: Claim, lease: timedelta) -> JobStatus:
    """Extend the lease. Returns the status, by which the worker learns of a cancel. Raises ``ClaimLostError``."""
    status = session.scalar(
        update(Job)
        .where(Job.id == held.job_id, held.holds())
        .values(lease_until=func.now() + lease)
        .returning(Job.status)
    )
    if status is None:
        raise ClaimLostError(held)
    return JobStatus(status)


def renew_all(session: Session, claims: Sequence[Claim], lease: timedelta) -> dict[UUID, JobStatus]:
    """Extend the leases of those that are still held and that nobody has locked; their statuses by job.

    It waits for no lock, so that it cannot be part of a deadlock.
    """
    ids = literal([claim.job_id for claim in claims], ARRAY(Uuid))
    attempts = literal([claim.attempt for claim in claims], ARRAY(Integer))
    mine = func.unnest(ids, attempts).table_valued("id", "attempt").render_derived("mine")
    job = aliased(Job)
    free = (
        select(job.id)
        .join(mine, (mine.c.id == job.id) & (mine.c.attempt == job.attempt))
        .where(job.status.in_(HELD))
        .with_for_update(of=job, skip_locked=True)
        .cte()
    )
    extended = update(Job).where(Job.id == free.c.id).values(lease_until=func.now() + lease)
    return {row.id: JobStatus(row.status) for row in session.execute(extended.returning(Job.id, Job.status))}


def progress(session: Session, held: Claim, value: Mapping[str, Any]) -> None:
    """Record how far the work has come. Raises ``ClaimLostError``."""
    if not change(session, held.job_id, held.holds(), {"progress": dict(value)}, "job.progress", value):
        raise ClaimLostError(held)


def confirm(session: Session, held: Claim) -> None:
    """Lock the job for this transaction if this attempt still holds it. Raises ``ClaimLostError``."""
    if session.scalar(select(Job.id).where(Job.id == held.job_id, held.holds()).with_for_update()) is None:
        raise ClaimLostError(held)


def emit(session: Session, held: Claim, event: str, data: Mapping[str, Any], key: str | None = None) -> None:
    """Log an event of the work itself, once if it has a ``key``. Raises ``ClaimLostError``."""
    confirm(session, held)
    if key is None or not is_logged(session, held.job_id, key):
        change(session, held.job_id, held.holds(), {}, event, data, key)


def succeed(session: Session, held: Claim) -> None:
    """End the job well; a cancel that came first wins. Raises ``ClaimLostError``."""
    _end(session, held, JobStatus.SUCCEEDED)


def fail(session: Session, held: Claim, error: Mapping[str, Any]) -> None:
    """End the job with ``error``; a cancel that came first wins. Raises ``ClaimLostError``."""
    _end(session, held, JobStatus.FAILED, {"error": dict(error)})


def acknowledge_cancel(session: Session, held: Claim) -> None:
    """End a job whose worker stopped at the caller's wish. Raises ``ClaimLostError``."""
    condition, values = held.holds(JobStatus.CANCELLING), _cancelled()
    if not change(session, held.job_id, condition, values, "job.cancelled", {"status": JobStatus.CANCELLED}):
        raise ClaimLostError(held)


def _end(session: Session, held: Claim, after: JobStatus, told: Mapping[str, Any] | None = None) -> None:
    told = told or {}
    given = {"job": held.job_id, "held": held.attempt, "before": JobStatus.RUNNING, "after": after}
    ended = session.connection().execute(_END, {**given, "fault": told.get("error")}).one_or_none()
    if ended is None:
        acknowledge_cancel(session, held)
    else:
        tell(session, held.job_id, f"job.{after}", {"status": after, **told})


def _cancelled() -> dict[str, Any]:
    return {
        **_RELEASED,
        "status": JobStatus.CANCELLED,
        "finished_at": func.now(),
        "cancel_requested_at": func.coalesce(Job.cancel_requested_at, func.now()),
    }


def release(session: Session, held: Claim, reason: str, error: Mapping[str, Any]) -> None:
    """Give the job back after a fault that is not its own: to the queue, or to its end when all attempts are spent.

    Raises ``ClaimLostError``.
    """
    job = session.get_one(Job, held.job_id, with_for_update=True, populate_existing=True)
    if job.attempt != held.attempt or job.status not in HELD:
        raise ClaimLostError(held)
    _return(session, job, reason, error)


def reap(session: Session, limit: int = 100) -> int:
    """Return the jobs whose lease ran out: their worker died or lost the database. Returns how many."""
    expired = session.scalars(
        select(Job)
        .where(Job.lease_until < func.now(), Job.leader_id.is_(None), in_states(HELD))
        .order_by(Job.lease_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for job in expired:
        job.lease_expiries += 1
        error = {
            "type": "urn:astrolabe:problem:attempts-exhausted",
            "title": "The job's worker was lost every time",
            "detail": f"{job.attempt} of {job.max_attempts} attempts ended without a word from the worker.",
        }
        _return(session, job, "lease expired", error)
    return len(expired)


def _return(session: Session, job: Job, reason: str, error: Mapping[str, Any]) -> None:
    held = Claim(job.id, job.attempt)
    if job.status == JobStatus.CANCELLING:
        acknowledge_cancel(session, held)
    elif job.attempt >= job.max_attempts:
        fail(session, held, error)
    else:
        values = {**_RELEASED, "status": JobStatus.QUEUED, "dispatched_at": None}
        data = {"status": JobStatus.QUEUED, "reason": reason, "attempt": job.attempt}
        change(session, job.id, held.holds(), values, "job.requeued", data)
        ring(session, [job.id])


def cancel(session: Session, job_id: UUID) -> JobStatus:
    """Stop a job at its owner's wish; a second wish changes nothing. Raises ``Problem`` 409 when the job has ended.

    Others who follow the job keep their computation: the first of them leads from then on.
    """
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    status = JobStatus(job.status)
    if status.is_terminal:
        if status is JobStatus.CANCELLED:
            return status
        detail = f"The job has already {'succeeded' if status is JobStatus.SUCCEEDED else 'failed'}."
        raise Problem(409, "already-ended", "The job has ended", detail)
    if status is JobStatus.CANCELLING:
        return status
    heir = session.scalar(
        select(Job).where(Job.leader_id == job_id, in_states(ACTIVE)).order_by(Job.id).limit(1).with_for_update()
    )
    if heir is None and status is JobStatus.RUNNING and job.leader_id is None:
        values = {"status": JobStatus.CANCELLING, "cancel_requested_at": func.now(), "active_key": None}
        change(session, job_id, Job.id == job_id, values, "job.cancelling", {"status": JobStatus.CANCELLING})
        return JobStatus.CANCELLING
    if heir is not None:
        _hand_over(session, job, heir)
    change(session, job_id, Job.id == job_id, _cancelled(), "job.cancelled", {"status": JobStatus.CANCELLED})
    if heir is not None:
        afresh: dict[str, Any] = {**_RELEASED, "status": JobStatus.QUEUED, "attempt": 0, "dispatched_at": None}
        data = {"status": JobStatus.QUEUED, "reason": "the identical job that computed this was cancelled"}
        change(session, heir.id, Job.id == heir.id, afresh, "job.requeued", data)
        ring(session, [heir.id])
    return JobStatus.CANCELLED


def _hand_over(session: Session, leader: Job, heir: Job) -> None:
    """Make ``heir`` the leader of those who followed ``leader``. The key moves first: only one leader may hold it."""
    session.execute(update(Job).where(Job.id == leader.id).values(active_key=None))
    session.execute(update(Job).where(Job.id == heir.id).values(leader_id=None))
    followers = (Job.leader_id == leader.id) & in_states(ACTIVE)
    session.execute(update(Job).where(followers).values(leader_id=heir.id))

"""Accept a job: once per idempotency key and external id, and computed once per active key."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from kit import audit, quotas, tracing
from kit.auth import NO_QUOTA, Quota
from kit.canonical import sha256
from kit.db import insert_rows
from kit.jobs.announcement import announce
from kit.jobs.models import ENDINGS, MIRRORED, Job, JobEvent, in_states
from kit.jobs.outbox import ring
from kit.jobs.states import ACTIVE, JobStatus
from kit.problems import FieldError, Problem
from kit.quotas import Spending

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sqlalchemy.orm import Session

_TRIES = 5
_EVENTS_OF_A_FINISHED_BIRTH = 2


DEFAULT_PRIORITY = 5
"""Of 0 to 9; the higher goes first."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to be made a job.

    ``active_key`` names what is to be computed: while a job with the same key is active, a new one follows it.
    ``finished`` says that the result is at hand, so that the job is born succeeded.
    """

    service: str
    owner: str
    spec: dict[str, Any]
    max_attempts: int
    active_key: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    external_id: str | None = None
    idempotency_key: str | None = None
    request_id: str | None = None
    webhook_url: str | None = None
    api_key: str | None = None
    quota: Quota = NO_QUOTA
    spending: Spending | None = None
    """What it may spend by its own limits; None: it spends nothing."""
    priority: int = DEFAULT_PRIORITY
    batch_id: UUID | None = None
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job, and whether this call made it."""

    job: Job
    created: bool


def submit(session: Session, submission: Submission, is_computed: Callable[[], bool] = lambda: False) -> Accepted:
    """Accept one request, as ``admit`` does, and keep in the audit log who sent it."""
    outcome = admit(session, submission, is_computed)
    actor = audit.Actor(submission.owner, submission.api_key, submission.request_id)
    target = f"{submission.service} job {outcome.job.id}"
    audit.record(session, actor, "job.submit", target, "accepted" if outcome.created else "repeated")
    return outcome


def admit(session: Session, submission: Submission, is_computed: Callable[[], bool] = lambda: False) -> Accepted:
    """Insert the job, its first event and, if it is to be computed, its outbox message.

    ``is_computed`` is asked once no other active job computes the same: an identical one may just have ended.

    Raises ``Problem`` 422 for an idempotency key and 409 for an external id that was used with another request, and 429
    when a quota of the key is used up.
    """
    _require_room(session, submission)
    fingerprint = sha256(submission.spec)
    for _ in range(_TRIES):
        row = job_row(submission, fingerprint)
        job = session.scalars(insert(Job).values(row).on_conflict_do_nothing().returning(Job)).one_or_none()
        if job is not None:
            if not submission.finished and is_computed():
                job.status, job.started_at, job.finished_at = JobStatus.SUCCEEDED, job.created_at, job.created_at
                job.event_seq = _EVENTS_OF_A_FINISHED_BIRTH
                session.flush()
            return Accepted(_announce(session, job), created=True)
        if (existing := _earlier(session, submission)) is not None:
            must_match(existing, submission, fingerprint)
            return Accepted(existing, created=False)
        if (follower := _follow(session, submission, row)) is not None:
            return Accepted(follower, created=True)
    detail = "Identical requests kept finishing while this one was being accepted; send it again."
    raise Problem(503, "contended", "Contended", detail, headers={"Retry-After": "1"})


def _require_room(session: Session, submission: Submission) -> None:
    """Raise ``Problem`` 429 when the key's quota leaves no room. A request sent again needs none."""
    room = None if submission.finished else quotas.room(session, submission.api_key, submission.quota)
    problem = room.take(submission.spending) if room else None
    if problem is not None and _earlier(session, submission) is None:
        raise quotas.refused(problem)


def job_row(submission: Submission, fingerprint: str) -> dict[str, Any]:
    """The job's row as it is born."""
    row: dict[str, Any] = {
        "id": uuid7(),
        "service": submission.service,
        "owner": submission.owner,
        "api_key": submission.api_key,
        "spec": submission.spec,
        "spec_sha256": fingerprint,
        "active_key": submission.active_key,
        "labels": submission.labels,
        "external_id": submission.external_id,
        "idempotency_key": submission.idempotency_key,
        "request_id": submission.request_id,
        "traceparent": tracing.traceparent(),
        "max_attempts": submission.max_attempts,
        "webhook_url": submission.webhook_url,
        "priority": submission.priority,
        "batch_id": submission.batch_id,
        "money_limit_usd": submission.spending.money_usd if submission.spending else None,
        "token_limit": submission.spending.tokens if submission.spending else None,
        "event_seq": 1,
    }
    if submission.finished:
        now = datetime.now(UTC)
        row |= {"status": JobStatus.SUCCEEDED, "started_at": now, "finished_at": now}
        row["event_seq"] = _EVENTS_OF_A_FINISHED_BIRTH
    return row


def _announce(session: Session, job: Job) -> Job:
    """Write the job's first events. Nobody is woken: a job that is not committed yet has no listeners."""
    common = {"job_id": job.id, "created_at": datetime.now(UTC)}
    events = [{**common, "seq": 1, "type": "job.created", "data": {"status": job.status}}]
    if job.status == JobStatus.SUCCEEDED:
        events.append({**common, "seq": 2, "type": "job.succeeded", "data": {"status": job.status, "cached": True}})
    insert_rows(session, JobEvent, events)
    if job.status == JobStatus.QUEUED and job.leader_id is None:
        ring(session, [job.id])
    if job.status == JobStatus.SUCCEEDED:
        session.execute(ENDINGS.insert().values(job_id=job.id))
        if job.webhook_url:
            announce(session, [job.id])
    return job


def _earlier(session: Session, submission: Submission) -> Job | None:
    """The owner's job with the same idempotency key or external id."""
    same: list[ColumnElement[bool]] = []
    if submission.idempotency_key is not None:
        same.append(Job.idempotency_key == submission.idempotency_key)
    if submission.external_id is not None:
        same.append(Job.external_id == submission.external_id)
    for condition in same:
        query = select(Job).where(Job.service == submission.service, Job.owner == submission.owner, condition)
        if (job := session.scalar(query)) is not None:
            return job
    return None


def must_match(existing: Job, submission: Submission, fingerprint: str) -> None:
    """Raise ``Problem`` unless the earlier job with the same key was asked the same."""
    if existing.spec_sha256 == fingerprint:
        return
    by_key = submission.idempotency_key is not None and existing.idempotency_key == submission.idempotency_key
    field_name = "Idempotency-Key" if by_key else "external_id"
    value = submission.idempotency_key if by_key else submission.external_id
    status = 422 if by_key else 409
    raise key_reused(field_name, value, f"job {existing.id}", status)


def key_reused(field_name: str, value: str | None, by: str, status: int) -> Problem:
    """The refusal of a key that was used for something else."""
    error = FieldError(
        field=field_name,
        value=value,
        message=f"was used before with another request ({by})",
        remedy=f"send the same request again, or choose another {field_name}",
    )
    return Problem(status, "key-reused", "The key was used for another request", error.message, errors=[error])


def _follow(session: Session, submission: Submission, row: dict[str, Any]) -> Job | None:
    """Join the active job that computes the same. None when it ended meanwhile."""
    leader = session.scalar(
        select(Job)
        .where(
            Job.service == submission.service,
            Job.active_key == submission.active_key,
            Job.leader_id.is_(None),
            in_states(ACTIVE),
        )
        .with_for_update(read=True)
    )
    if leader is None:
        return None
    if leader.status == JobStatus.CANCELLING:
        return None
    follower = Job(**row, leader_id=leader.id, **{name: getattr(leader, name) for name in MIRRORED})
    session.add(follower)
    session.flush()
    session.refresh(follower)
    return _announce(session, follower)

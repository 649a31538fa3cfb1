"""What is kept for how long. Old rows go some hundred at a time, so that nobody waits for a pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import CursorResult, delete, exists, func, select, update
from sqlalchemy.orm import aliased

from kit.audit import AuditEntry
from kit.db import transaction
from kit.jobs.models import Batch, Job, JobEvent
from kit.jobs.states import ACTIVE
from kit.jobs.tallies import fold_these
from kit.webhooks.models import WebhookDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sqlalchemy import ColumnElement, Engine, Result
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from kit.settings import RetentionSettings

CHUNK = 500
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A moment some days ago, and the smallest id of what was made after it: ids are in the order of time (UUIDv7).

    Scanning by id spares an index on the time of each end, which every job would pay for.
    """

    seconds: float

    @property
    def id(self) -> UUID:
        return UUID(int=int(self.seconds * 1000) << 80)

    def before(self, moment: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        return moment < func.to_timestamp(self.seconds)


Step = Callable[["Session", Cutoff], int]
"""Removes at most ``CHUNK`` rows; returns how many."""

SERVICES_STEPS = "astrolabe.retention"
"""The entry points by which services name a ``Step`` of their own: for what outlives the jobs that it was made for."""


def pass_over(engine: Engine, keep: RetentionSettings, now: float | None = None) -> Iterator[tuple[str, int]]:
    """Remove what is older than ``keep`` says at ``now`` (Unix seconds); after each chunk, yields what and how many."""
    now = time.time() if now is None else now
    steps: tuple[tuple[str, float, Step], ...] = (
        ("idempotency keys", keep.keep_idempotency_keys_days, _forget_job_keys),
        ("idempotency keys", keep.keep_idempotency_keys_days, _forget_batch_keys),
        ("deliveries", keep.keep_deliveries_days, _remove_deliveries),
        ("events", keep.keep_events_days, _remove_events),
        ("jobs", keep.keep_jobs_days, _remove_jobs),
        ("batches", keep.keep_jobs_days, _remove_batches),
        *((entry.name, keep.keep_jobs_days, entry.load()) for entry in entry_points(group=SERVICES_STEPS)),
        ("audit entries", keep.keep_audit_days, _remove_audit),
    )
    for what, days, step in steps:
        cutoff = Cutoff(now - days * _DAY_SECONDS)
        removed = CHUNK
        while removed == CHUNK:
            with transaction(engine) as session:
                removed = step(session, cutoff)
            yield what, removed


def _forget_job_keys(session: Session, cutoff: Cutoff) -> int:
    old = select(Job.id).where(
        Job.id < cutoff.id,
        Job.idempotency_key.is_not(None),
        cutoff.before(Job.created_at),
        Job.finished_at.is_not(None),
    )
    doomed = session.scalars(old.limit(CHUNK).with_for_update(skip_locked=True)).all()
    session.execute(update(Job).where(Job.id.in_(doomed)).values(idempotency_key=None))
    return len(doomed)


def _forget_batch_keys(session: Session, cutoff: Cutoff) -> int:
    old = (Batch.id < cutoff.id) & Batch.idempotency_key.is_not(None) & Batch.finished_at.is_not(None)
    doomed = select(Batch.id).where(old).limit(CHUNK).with_for_update(skip_locked=True)
    return _rows(session.execute(update(Batch).where(Batch.id.in_(doomed)).values(idempotency_key=None)))


def _remove_deliveries(session: Session, cutoff: Cutoff) -> int:
    old = (WebhookDelivery.id < cutoff.id) & cutoff.before(WebhookDelivery.finished_at)
    doomed = select(WebhookDelivery.id).where(old).limit(CHUNK).with_for_update(skip_locked=True)
    return _rows(session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(doomed))))


def _remove_events(session: Session, cutoff: Cutoff) -> int:
    """All but the one that tells the end: who follows such a job still learns of it."""
    doomed = (
        select(JobEvent.job_id, JobEvent.seq)
        .join(Job, Job.id == JobEvent.job_id)
        .where(Job.id < cutoff.id, cutoff.before(Job.finished_at), JobEvent.seq < Job.event_seq)
        .limit(CHUNK)
        .subquery()
    )
    same = (JobEvent.job_id == doomed.c.job_id) & (JobEvent.seq == doomed.c.seq)
    return _rows(session.execute(delete(JobEvent).where(same)))


def _remove_jobs(session: Session, cutoff: Cutoff) -> int:
    """Jobs that have ended, and all that hangs on them; what the metrics count of them goes to the totals.

    A batch keeps its jobs as long as it is kept. A job that others still follow, or that is still to be told of, stays.
    """
    follower = aliased(Job)
    old_batch = exists().where(Batch.id == Job.batch_id, cutoff.before(Batch.finished_at))
    is_followed = exists().where(follower.leader_id == Job.id, follower.status.in_(ACTIVE))
    is_to_be_told = exists().where(WebhookDelivery.job_id == Job.id, WebhookDelivery.finished_at.is_(None))
    old = (
        select(Job.id)
        .where(Job.id < cutoff.id, cutoff.before(Job.finished_at), Job.batch_id.is_(None) | old_batch)
        .where(~is_followed, ~is_to_be_told)
        .order_by(Job.id)
        .limit(CHUNK)
        .with_for_update(of=Job, skip_locked=True)
    )
    doomed = session.scalars(old).all()
    fold_these(session, doomed)
    session.execute(delete(Job).where(Job.id.in_(doomed)))
    return len(doomed)


def _remove_batches(session: Session, cutoff: Cutoff) -> int:
    has_jobs = exists().where(Job.batch_id == Batch.id)
    old = select(Batch.id).where(Batch.id < cutoff.id, cutoff.before(Batch.finished_at), ~has_jobs)
    doomed = old.limit(CHUNK).with_for_update(skip_locked=True)
    return _rows(session.execute(delete(Batch).where(Batch.id.in_(doomed))))


def _remove_audit(session: Session, cutoff: Cutoff) -> int:
    doomed = select(AuditEntry.id).where(AuditEntry.id < cutoff.id).limit(CHUNK)
    return _rows(session.execute(delete(AuditEntry).where(AuditEntry.id.in_(doomed))))


def _rows(result: Result[Any]) -> int:
    assert isinstance(result, CursorResult)  # noqa: S101 - what UPDATE and DELETE give
    return result.rowcount

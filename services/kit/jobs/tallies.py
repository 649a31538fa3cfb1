"""What the metrics say of jobs: of the active ones by looking, of those that have ended by sums kept since the first.

A row of sums that every end wrote to would make the ends of jobs wait for each other. So an end only notes its job
(``kit.jobs.models.ENDINGS``), and the relay folds the notes into the totals some thousands at a time; a reader adds
what is not folded yet. So a scrape costs what is going on, not what has been.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, func, literal, literal_column, select, text

from kit import totals
from kit.jobs.models import ENDINGS, Job, in_states
from kit.jobs.states import ACTIVE, JobStatus
from kit.webhooks.models import WebhookDelivery

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.totals import Counted

RUN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the buckets of run times."""
RUN_SECONDS_LABELS = (*(str(bound) for bound in RUN_SECONDS), "+Inf")

_FOLDED_AT_ONCE = 5000
_TAKE = text("""
DELETE FROM kit.endings WHERE ctid = ANY(ARRAY(SELECT ctid FROM kit.endings LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING job_id
""")


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The state of a service's jobs, and what has been counted since its first: by the counter's name and its label."""

    active: dict[JobStatus, int]
    oldest_queued_seconds: float
    pending_deliveries: int
    latest_delivery_seconds: float
    counted: dict[tuple[str, str], float]


def job_counts(session: Session, service: str) -> JobCounts:
    """Read jobs and totals. In one snapshot, so that a job that is being folded counts once."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    counted: defaultdict[Counted, float] = defaultdict(float, totals.read(session, service))
    not_folded = Job.id.in_(select(ENDINGS.c.job_id))
    for name, value in _count(session, not_folded, Job.service == service).items():
        counted[name] += value
    active = {status: 0 for status in JobStatus if not status.is_terminal}
    age = func.extract("epoch", func.now() - func.min(Job.created_at))
    states = select(Job.status, func.count(), func.sum(Job.lease_expiries), age).where(_is_active(service))
    oldest_queued_seconds = 0.0
    for status, jobs, expiries, oldest_seconds in session.execute(states.group_by(Job.status)):
        active[JobStatus(status)] = jobs
        counted["lease_expiries", service, ""] += expiries
        if status == JobStatus.QUEUED:
            oldest_queued_seconds = float(oldest_seconds)
    by_label = {(name, label): value for (name, _, label), value in counted.items() if value}
    return JobCounts(active, oldest_queued_seconds, *_pending_deliveries(session, service), by_label)


def _is_active(service: str) -> ColumnElement[bool]:
    """Spelt as the partial indexes are: one of the jobs that lead, one of those that follow."""
    mine = (Job.service == service) & in_states(ACTIVE)
    return (mine & Job.leader_id.is_(None)) | (mine & Job.leader_id.is_not(None))


def _pending_deliveries(session: Session, service: str) -> tuple[int, float]:
    """The webhook deliveries still to be made, and how long the latest of those due has waited for the courier."""
    overdue = func.extract("epoch", func.now() - func.min(WebhookDelivery.next_attempt_at))
    query = select(func.count(), overdue).join(Job, Job.id == WebhookDelivery.job_id)
    is_pending = WebhookDelivery.status == literal_column("'pending'")
    deliveries, waited_seconds = session.execute(query.where(Job.service == service, is_pending)).one()
    return deliveries, max(0.0, float(waited_seconds or 0.0))


def fold(session: Session) -> int:
    """Add some of the jobs that have ended to the totals. Returns how many."""
    taken = session.scalars(_TAKE, {"limit": _FOLDED_AT_ONCE}).all()
    _add(session, taken)
    return len(taken)


def fold_these(session: Session, job_ids: Collection[UUID]) -> None:
    """Add those of the jobs to the totals that are not in them: their rows are to be removed."""
    noted = ENDINGS.c.job_id == any_(literal(list(job_ids), ARRAY(Uuid)))
    _add(session, session.scalars(ENDINGS.delete().where(noted).returning(ENDINGS.c.job_id)).all())


def _add(session: Session, job_ids: Collection[UUID]) -> None:
    if job_ids:
        totals.add(session, _count(session, Job.id == any_(literal(list(job_ids), ARRAY(Uuid)))))


def _count(session: Session, *conditions: ColumnElement[bool]) -> dict[Counted, float]:
    """The counters over the jobs, all ended, that meet ``conditions``."""
    ran = (Job.status == JobStatus.SUCCEEDED) & (Job.attempt > 0)
    seconds = func.extract("epoch", Job.finished_at - Job.started_at)
    query = (
        select(
            Job.service,
            Job.status,
            func.count(),
            func.sum(Job.attempt),
            func.sum(Job.lease_expiries),
            func.coalesce(func.sum(seconds).filter(ran), 0),
            *(func.count().filter(ran, seconds <= bound) for bound in RUN_SECONDS),
            func.count().filter(ran),
        )
        .where(*conditions)
        .group_by(Job.service, Job.status)
    )
    counted: defaultdict[Counted, float] = defaultdict(float)
    for service, status, jobs, attempts, expiries, run_seconds, *buckets in session.execute(query):
        counted["ended", service, status] = jobs
        counted["attempts", service, status] = attempts
        counted["lease_expiries", service, ""] += expiries
        if status == JobStatus.SUCCEEDED:
            counted["run_seconds", service, "sum"] = float(run_seconds)
            for label, runs in zip(RUN_SECONDS_LABELS, buckets, strict=True):
                counted["run_seconds", service, label] = runs
    return dict(counted)

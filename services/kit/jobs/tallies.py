"""What the metrics say of jobs: counted in the table, and of pruned jobs in the totals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select

from kit import totals
from kit.jobs.models import Job, in_states
from kit.jobs.states import ACTIVE, JobStatus
from kit.webhooks.models import WebhookDelivery

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from kit.totals import Counted

RUN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds of the buckets of run times."""
RUN_SECONDS_LABELS = (*(str(bound) for bound in RUN_SECONDS), "+Inf")


@dataclass(frozen=True, slots=True)
class JobCounts:
    """The state of a service's jobs, and what has been counted since its first: by the counter's name and its label."""

    active: dict[JobStatus, int]
    oldest_queued_seconds: float
    deliveries: dict[str, int]
    latest_delivery_seconds: float
    counted: dict[tuple[str, str], float]


def job_counts(session: Session, service: str) -> JobCounts:
    """Read table and totals. In one snapshot, so that a job that is being pruned counts once."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    counted: defaultdict[Counted, float] = defaultdict(float, count_ended(session, Job.service == service))
    for name, value in totals.read(session, service).items():
        counted[name] += value
    active = {status: 0 for status in JobStatus if not status.is_terminal}
    age = func.extract("epoch", func.now() - func.min(Job.created_at))
    query = select(Job.status, func.count(), func.sum(Job.lease_expiries), age)
    oldest_queued_seconds = 0.0
    mine = (Job.service == service) & in_states(ACTIVE)
    for status, jobs, expiries, oldest_seconds in session.execute(query.where(mine).group_by(Job.status)):
        active[JobStatus(status)] = jobs
        counted["lease_expiries", service, ""] += expiries
        if status == JobStatus.QUEUED:
            oldest_queued_seconds = float(oldest_seconds)
    by_label = {(name, label): value for (name, _, label), value in counted.items()}
    return JobCounts(active, oldest_queued_seconds, *_deliveries(session, service), by_label)


def _deliveries(session: Session, service: str) -> tuple[dict[str, int], float]:
    """Webhook deliveries by state, and how long the latest of those due has waited for the courier."""
    overdue = func.extract("epoch", func.now() - func.min(WebhookDelivery.next_attempt_at))
    query = select(WebhookDelivery.status, func.count(), overdue).join(Job, Job.id == WebhookDelivery.job_id)
    rows = session.execute(query.where(Job.service == service).group_by(WebhookDelivery.status)).all()
    waited_seconds = max((float(row[2]) for row in rows if row[2] is not None), default=0.0)
    return {row[0]: row[1] for row in rows}, max(0.0, waited_seconds)


def count_ended(session: Session, *conditions: ColumnElement[bool]) -> dict[Counted, float]:
    """The counters over jobs that have ended and meet ``conditions``."""
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
        .where(Job.finished_at.is_not(None), *conditions)
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

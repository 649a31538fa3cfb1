"""The event log of a job, and the notification that wakes those who wait for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, select, text, update

from kit.jobs.announcement import announce
from kit.jobs.batch_counts import note_finished
from kit.jobs.models import Job, JobEvent, in_states
from kit.jobs.states import ACTIVE, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

EVENTS_CHANNEL = "astrolabe_job_events"
_JOBS = cast("Table", Job.__table__)
"""For the one UPDATE of every change: as a statement on the class it takes the ORM longer than Postgres."""
_ENDS = frozenset(f"job.{state}" for state in TERMINAL)
_LOG = text("""
WITH logged AS (
    INSERT INTO kit.job_events (job_id, seq, type, key, data)
    SELECT job_id, seq, :event, :key, CAST(:data AS jsonb)
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:numbers AS integer[])) AS numbered (job_id, seq)
    RETURNING job_id
), counted AS (
    INSERT INTO kit.endings (job_id) SELECT job_id FROM logged WHERE :is_end
)
SELECT count(pg_notify(:channel, CAST(job_id AS text))) FROM logged
""")


def change(
    session: Session,
    job_id: UUID,
    condition: ColumnElement[bool],
    values: Mapping[str, Any],
    event: str,
    data: Mapping[str, Any],
    key: str | None = None,
) -> bool:
    """Change a job where ``condition`` holds, and the active jobs that follow it; log ``event`` for each.

    The job is locked in a statement of its own first: a follower that joined while we waited for the lock would not be
    seen by an UPDATE whose snapshot is older than the wait.

    Returns whether the condition held.
    """
    if session.scalar(select(Job.id).where(Job.id == job_id, condition).with_for_update()) is None:
        return False
    write(session, job_id, values, event, data, key)
    return True


def write(
    session: Session,
    job_id: UUID,
    values: Mapping[str, Any],
    event: str,
    data: Mapping[str, Any],
    key: str | None = None,
) -> None:
    """Make the change to a job that an earlier statement of this transaction locked."""
    numbered = session.execute(
        update(_JOBS)
        .where((Job.id == job_id) | ((Job.leader_id == job_id) & in_states(ACTIVE)))
        .values(**values, event_seq=Job.event_seq + 1)
        .returning(Job.id, Job.event_seq, Job.batch_id, Job.webhook_url)
    ).all()
    log(session, [(row.id, row.event_seq) for row in numbered], event, data, key)
    if values.get("status") in TERMINAL:
        note_finished(session, [(row.id, row.batch_id) for row in numbered if row.batch_id])
        if waiting := [row.id for row in numbered if row.webhook_url]:
            announce(session, waiting)


def log(
    session: Session,
    numbered: Sequence[tuple[UUID, int]],
    event: str,
    data: Mapping[str, Any],
    key: str | None = None,
) -> None:
    """Append ``event`` to each job's log under the number its row was given, and wake the listeners at commit.

    One that tells of an end is noted for the metrics too.
    """
    jobs, numbers = [job_id for job_id, _ in numbered], [seq for _, seq in numbered]
    logged = {
        "jobs": jobs,
        "numbers": numbers,
        "event": event,
        "is_end": event in _ENDS,
        "key": key,
        "data": json.dumps(data, ensure_ascii=False),
    }
    session.execute(_LOG, {**logged, "channel": EVENTS_CHANNEL})


def is_logged(session: Session, job_id: UUID, key: str) -> bool:
    """Whether the event with this key is in the job's log."""
    return session.scalar(select(JobEvent.seq).where(JobEvent.job_id == job_id, JobEvent.key == key)) is not None


def read(session: Session, job_id: UUID, after: int, limit: int = 500) -> Sequence[JobEvent]:
    """The events after number ``after``, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after).order_by(JobEvent.seq).limit(limit)
    return session.scalars(query).all()

"""The event log of a job, and the notification that wakes those who wait for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, select, text, update

from kit.jobs.announcement import announce
from kit.jobs.batch_counts import note_finished
from kit.jobs.models import ACTIVE_SQL, MIRRORED, Job, JobEvent
from kit.jobs.states import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy import Table
    from sqlalchemy.orm import Session

EVENTS_CHANNEL = "astrolabe_job_events"
_JOBS = cast("Table", Job.__table__)
"""For the one UPDATE of every change, sent past the ORM: it takes longer over it than Postgres."""
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
_TELL = text(f"""
WITH follower AS (
    UPDATE kit.jobs AS follower SET
        ({", ".join(MIRRORED)}) = ({", ".join(f"leader.{name}" for name in MIRRORED)}),
        event_seq = follower.event_seq + 1
    FROM kit.jobs AS leader
    WHERE leader.id = :job AND follower.leader_id = :job AND follower.{ACTIVE_SQL}
    RETURNING follower.id, follower.event_seq, follower.batch_id, follower.webhook_url
), told AS (
    SELECT id, event_seq, batch_id, webhook_url FROM kit.jobs WHERE id = :job
    UNION ALL SELECT id, event_seq, batch_id, webhook_url FROM follower
), logged AS (
    INSERT INTO kit.job_events (job_id, seq, type, key, data)
    SELECT id, event_seq, :event, :key, CAST(:data AS jsonb) FROM told
), counted AS (
    INSERT INTO kit.endings (job_id) SELECT id FROM told WHERE :is_end
)
SELECT id, batch_id, webhook_url, pg_notify(:channel, CAST(id AS text)) FROM told
""")  # noqa: S608 - names of our own columns and states


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

    Returns whether the condition held.
    """
    query = update(_JOBS).where(Job.id == job_id, condition).values(**values, event_seq=Job.event_seq + 1)
    if session.connection().execute(query.returning(Job.id)).one_or_none() is None:
        return False
    tell(session, job_id, event, data, key)
    return True


def tell(session: Session, job_id: UUID, event: str, data: Mapping[str, Any], key: str | None = None) -> None:
    """Make the active followers of a job that this transaction changed its equals, and log ``event`` for each.

    In a statement of its own: a follower that joined while we waited for the job's lock would not be seen by one whose
    snapshot is older than the wait.
    """
    told = session.execute(_TELL, {"job": job_id, **_logged(event, data, key)}).all()
    if event in _ENDS:
        note_finished(session, [(row.id, row.batch_id) for row in told if row.batch_id])
        if waiting := [row.id for row in told if row.webhook_url]:
            announce(session, waiting)


def _logged(event: str, data: Mapping[str, Any], key: str | None) -> dict[str, Any]:
    """What both statements are told of an event."""
    document = json.dumps(data, ensure_ascii=False)
    return {"event": event, "is_end": event in _ENDS, "key": key, "data": document, "channel": EVENTS_CHANNEL}


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
    session.execute(_LOG, {"jobs": jobs, "numbers": numbers, **_logged(event, data, key)})


def is_logged(session: Session, job_id: UUID, key: str) -> bool:
    """Whether the event with this key is in the job's log."""
    return session.scalar(select(JobEvent.seq).where(JobEvent.job_id == job_id, JobEvent.key == key)) is not None


def read(session: Session, job_id: UUID, after: int, limit: int = 500) -> Sequence[JobEvent]:
    """The events after number ``after``, oldest first."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after).order_by(JobEvent.seq).limit(limit)
    return session.scalars(query).all()

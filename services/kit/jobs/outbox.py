"""The transactional outbox: a doorbell is written with the change that needs it, and rung by the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, select, update

from kit.db import insert_rows
from kit.jobs.models import Job, OutboxMessage, in_states
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
        insert_rows(session, OutboxMessage, rows)
        session.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))


def waiting_services(session: Session) -> Sequence[str]:
    """The services with a doorbell to be rung."""
    query = select(Job.service).join(OutboxMessage, OutboxMessage.job_id == Job.id).distinct()
    return sorted(session.scalars(query))


def take(session: Session, service: str, limit: int) -> list[UUID]:
    """Remove up to ``limit`` of the service's messages, in fair order. Rolled back, they are all there again.

    Owners take turns, those with the fewest jobs in flight first, so that one owner's ten thousand jobs do not keep
    another's one waiting. Priority orders an owner's own jobs, and owners whose turn it is.
    """
    in_flight = (
        select(Job.owner, func.count().label("jobs"))
        .where(
            Job.service == service,
            Job.leader_id.is_(None),
            (Job.status == JobStatus.RUNNING) | ((Job.status == JobStatus.QUEUED) & Job.dispatched_at.is_not(None)),
        )
        .group_by(Job.owner)
        .subquery()
    )
    own_order = (Job.priority.desc(), OutboxMessage.position)
    turn = func.row_number().over(partition_by=Job.owner, order_by=own_order)
    ranked = (
        select(OutboxMessage.job_id)
        .join(Job, Job.id == OutboxMessage.job_id)
        .outerjoin(in_flight, in_flight.c.owner == Job.owner)
        .where(Job.service == service)
        .order_by(turn + func.coalesce(in_flight.c.jobs, 0), *own_order)
        .limit(limit)
    )
    chosen = session.scalars(ranked).all()
    query = select(OutboxMessage.job_id).where(OutboxMessage.job_id.in_(chosen)).with_for_update(skip_locked=True)
    locked = frozenset(session.scalars(query))
    if not locked:
        return []
    session.execute(delete(OutboxMessage).where(OutboxMessage.job_id.in_(locked)))
    dispatched = session.scalars(
        update(Job)
        .where(Job.id.in_(locked), Job.status == JobStatus.QUEUED, Job.leader_id.is_(None))
        .values(dispatched_at=func.now())
        .returning(Job.id)
    ).all()
    return [job_id for job_id in chosen if job_id in frozenset(dispatched)]


def ring_again(session: Session, *conditions: ColumnElement[bool]) -> int:
    """Ring for the dispatched jobs that still wait (and meet ``conditions``): their messages may be lost."""
    waiting = in_states({JobStatus.QUEUED}) & Job.leader_id.is_(None) & Job.dispatched_at.is_not(None)
    ids = session.scalars(select(Job.id).where(waiting, *conditions).order_by(Job.id)).all()
    ring(session, ids)
    return len(ids)


def unanswered(session: Session, waited: timedelta) -> dict[str, list[UUID]]:
    """The jobs by service that were rung for longer ago than ``waited`` and still are not claimed."""
    late = in_states({JobStatus.QUEUED}) & Job.leader_id.is_(None) & (Job.dispatched_at < func.now() - waited)
    found: dict[str, list[UUID]] = {}
    for service, job_id in session.execute(select(Job.service, Job.id).where(late).order_by(Job.id)):
        found.setdefault(service, []).append(job_id)
    return found

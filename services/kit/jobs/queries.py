"""Reading jobs: always within one owner's."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from kit.jobs.models import Job
from kit.problems import FieldError, Problem, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from kit.jobs.states import JobStatus


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of an owner's jobs to list, and in what order of creation."""

    service: str
    owner: str
    statuses: Sequence[JobStatus] = ()
    labels: Mapping[str, str] | None = None
    newest_first: bool = True


def get(session: Session, service: str, owner: str, job_id: UUID) -> Job:
    """The owner's job. Raises ``Problem`` 404, also for another owner's job: its existence is not told."""
    query = select(Job).where(Job.id == job_id, Job.service == service, Job.owner == owner)
    job = session.scalar(query)
    if job is None:
        raise Problem(404, "not-found", "Not found", f"There is no job {job_id}; list your jobs to find its id.")
    return job


def page(session: Session, chosen: JobFilter, cursor: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
    """Up to ``limit`` jobs after ``cursor``, and the cursor of the next page. Ids are in order of creation (UUIDv7)."""
    query = select(Job).where(Job.service == chosen.service, Job.owner == chosen.owner)
    if chosen.statuses:
        query = query.where(Job.status.in_(chosen.statuses))
    if chosen.labels:
        query = query.where(Job.labels.contains(dict(chosen.labels)))
    if cursor is not None:
        position = _decode(cursor)
        query = query.where(Job.id < position if chosen.newest_first else Job.id > position)
    query = query.order_by(Job.id.desc() if chosen.newest_first else Job.id).limit(limit + 1)
    rows = session.scalars(query).all()
    return rows[:limit], _encode(rows[limit - 1].id) if len(rows) > limit else None


def _encode(position: UUID) -> str:
    return base64.urlsafe_b64encode(position.bytes).decode().rstrip("=")


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error) as error:
        remedy = "send the next_cursor of the page before, unchanged"
        wrong = FieldError(field="cursor", message="is not a cursor of this list", value=cursor[:64], remedy=remedy)
        raise invalid_request([wrong]) from error

"""Reading jobs: always within one owner's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from kit import paging
from kit.jobs.models import Job
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.jobs.states import JobStatus
    from kit.paging import PageQuery


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of an owner's jobs to list, and in what order of creation."""

    service: str
    owner: str
    statuses: Sequence[JobStatus] = ()
    labels: Mapping[str, str] | None = None
    external_id: str | None = None
    newest_first: bool = True


def get(session: Session, service: str, owner: str, job_id: UUID) -> Job:
    """The owner's job. Raises ``Problem`` 404, also for another owner's job: its existence is not told."""
    query = select(Job).where(Job.id == job_id, Job.service == service, Job.owner == owner)
    job = session.scalar(query)
    if job is None:
        raise Problem(404, "not-found", "Not found", f"There is no job {job_id}; list your jobs to find its id.")
    return job


def page(session: Session, chosen: JobFilter, asked: PageQuery) -> tuple[Sequence[Job], str | None]:
    """A page of the chosen jobs, and the cursor of the next one."""
    query = select(Job).where(Job.service == chosen.service, Job.owner == chosen.owner)
    if chosen.statuses:
        query = query.where(Job.status.in_(chosen.statuses))
    if chosen.labels:
        query = query.where(Job.labels.contains(dict(chosen.labels)))
    if chosen.external_id is not None:
        query = query.where(Job.external_id == chosen.external_id)
    return paging.page(session, query, Job.id, asked, newest_first=chosen.newest_first)

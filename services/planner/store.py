"""Every query of the planner."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from kit.db import insert_rows
from kit.jobs.views import job_fields
from planner.models import Plan, Search
from planner.schemas import PlanView

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.jobs import Job

PREFIX = "/plans"
_SAVE = text("INSERT INTO planner.searches (key, result) VALUES (:key, CAST(:result AS jsonb)) ON CONFLICT DO NOTHING")


def add_plans(session: Session, plans: Sequence[tuple[UUID, str]]) -> None:
    """Say which search answers each job: (job id, search key)."""
    insert_rows(session, Plan, [{"job_id": job_id, "search_key": key} for job_id, key in plans])


def result(session: Session, key: str) -> dict[str, Any] | None:
    """The result of the search, if it was ever finished."""
    return session.scalar(select(Search.result).where(Search.key == key))


def has_result(session: Session, key: str) -> bool:
    """Whether the search was ever finished, and its result is kept until the transaction's end."""
    return bool(with_result(session, [key]))


def with_result(session: Session, keys: Collection[str]) -> Collection[str]:
    """Those of the searches that were ever finished, whose results are kept until the transaction's end."""
    query = select(Search.key).where(Search.key.in_(keys)).with_for_update(read=True, key_share=True)
    return frozenset(session.scalars(query))


def save_result(session: Session, key: str, document: str) -> None:
    """Keep the result of the search, as JSON; a search has one result, so the first one stays."""
    session.execute(_SAVE, {"key": key, "result": document})


def keep_result(session: Session, key: str, document: Mapping[str, Any]) -> None:
    """Keep a result that was found in the cache, unless it is there: a look costs less than sending it."""
    if not has_result(session, key):
        save_result(session, key, json.dumps(document))


def views(session: Session, jobs: Sequence[Job]) -> list[PlanView]:
    """What the owner sees of each job: the result once there is one."""
    query = (
        select(Plan.job_id, Search.result)
        .join(Search, Search.key == Plan.search_key)
        .where(Plan.job_id.in_([job.id for job in jobs if job.status == "succeeded"]))
    )
    results = {row.job_id: row.result for row in session.execute(query)}
    return [view(job, results.get(job.id)) for job in jobs]


def view(job: Job, document: Mapping[str, Any] | None) -> PlanView:
    """The job with its result."""
    return PlanView.model_validate({**job_fields(job, PREFIX), **(document or {})})

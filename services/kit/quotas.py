"""What the jobs of an API key may take, enforced in the transaction that accepts them.

Submissions under one key that has a quota follow one another: the key's row is locked until the commit, so that
parallel ones cannot overshoot together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter
from sqlalchemy import func, select

from kit.auth import NO_QUOTA, ApiKey
from kit.jobs.models import Job
from kit.jobs.states import ACTIVE
from kit.problems import FieldError, Problem

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from kit.auth import Quota

_JOBS_RETRY_AFTER_SECONDS = 5

REFUSALS = Counter("astrolabe_quota_refusals", "Jobs refused because a quota of their key was used up.", ["quota"])


@dataclass(slots=True)
class Room:
    """What a quota leaves. Good for the transaction that measured it."""

    quota: Quota
    active_jobs: int

    def take(self) -> Problem | None:
        """Take the room of one job, or say why there is none."""
        most = self.quota.concurrent_jobs
        if most is not None and self.active_jobs >= most:
            return _no_more_jobs(self.active_jobs, most)
        self.active_jobs += 1
        return None


def room(session: Session, api_key: str | None, quota: Quota) -> Room | None:
    """Measure, and hold until the commit, what the key's quota leaves. None: there is no quota."""
    if api_key is None or quota == NO_QUOTA:
        return None
    session.execute(select(ApiKey.prefix).where(ApiKey.prefix == api_key).with_for_update())
    count = select(func.count()).where(Job.api_key == api_key, Job.status.in_(ACTIVE))
    return Room(quota, session.scalars(count).one())


def refused(problem: Problem) -> Problem:
    """Count the refusal in the metrics."""
    REFUSALS.labels(problem.errors[0].field.removeprefix("quota.")).inc()
    return problem


def _no_more_jobs(active: int, most: int) -> Problem:
    error = FieldError(
        field="quota.concurrent_jobs",
        value=active,
        message=f"{active} jobs of this key are queued or running, of {most} that may be",
        remedy="wait until some have ended, or cancel some",
    )
    return _exhausted(error, _JOBS_RETRY_AFTER_SECONDS)


def _exhausted(error: FieldError, retry_after_seconds: int) -> Problem:
    detail = f"{error.message}; {error.remedy}."
    headers = {"Retry-After": str(retry_after_seconds)}
    return Problem(429, "quota-exhausted", "A quota of the key is used up", detail, errors=[error], headers=headers)

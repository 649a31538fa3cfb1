"""What the jobs of an API key may take, enforced in the transaction that accepts them.

Submissions under one key that has a quota follow one another: the key's row is locked until the commit, so that
parallel ones cannot overshoot together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import Counter
from sqlalchemy import func, select, true

from kit.auth import NO_QUOTA, ApiKey
from kit.jobs.models import Job, in_states
from kit.jobs.states import ACTIVE
from kit.problems import FieldError, Problem, invalid_request
from kit.usage import JobUsage, spent_today

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from kit.auth import Quota

_JOBS_RETRY_AFTER_SECONDS = 5

REFUSALS = Counter("astrolabe_quota_refusals", "Jobs refused because a quota of their key was used up.", ["quota"])


@dataclass(frozen=True, slots=True)
class Spending:
    """What a job may spend at most, by its own request; None: it names no limit."""

    money_usd: float | None = None
    tokens: int | None = None


@dataclass(slots=True)
class Room:
    """What a quota leaves. Good for the transaction that measured it.

    Promised is what has been spent today, and what active jobs may still spend by their limits.
    """

    quota: Quota
    active_jobs: int
    promised_money_usd: float
    promised_tokens: int

    def take(self, spending: Spending | None) -> Problem | None:
        """Take the room of one job (``spending`` is None if it spends nothing), or say why there is none."""
        quota = self.quota
        if quota.concurrent_jobs is not None and self.active_jobs >= quota.concurrent_jobs:
            return _no_more_jobs(self.active_jobs, quota.concurrent_jobs)
        if spending is not None:
            problem = _over(quota.money_usd_per_day, self.promised_money_usd, spending.money_usd, "money_usd") or _over(
                quota.tokens_per_day, self.promised_tokens, spending.tokens, "tokens"
            )
            if problem is not None:
                return problem
            self.promised_money_usd += spending.money_usd or 0.0
            self.promised_tokens += spending.tokens or 0
        self.active_jobs += 1
        return None


def room(session: Session, api_key: str | None, quota: Quota) -> Room | None:
    """Measure, and hold until the commit, what the key's quota leaves. None: there is no quota."""
    if api_key is None or quota == NO_QUOTA:
        return None
    session.execute(select(ApiKey.prefix).where(ApiKey.prefix == api_key).with_for_update())
    active = (Job.api_key == api_key) & in_states(ACTIVE)
    jobs = session.scalars(select(func.count()).where(active)).one()
    spent = spent_today(session, api_key)
    of_job = (
        select(func.sum(JobUsage.money_usd).label("money_usd"), func.sum(JobUsage.tokens).label("tokens"))
        .where(JobUsage.job_id == Job.id)
        .lateral()
    )
    money_usd, tokens = session.execute(
        select(
            func.coalesce(func.sum(func.greatest(Job.money_limit_usd - func.coalesce(of_job.c.money_usd, 0), 0)), 0),
            func.coalesce(func.sum(func.greatest(Job.token_limit - func.coalesce(of_job.c.tokens, 0), 0)), 0),
        )
        .select_from(Job)
        .outerjoin(of_job, true())
        .where(active)
    ).one()
    return Room(quota, jobs, spent.money_usd + float(money_usd), spent.tokens + int(tokens))


def refused(problem: Problem) -> Problem:
    """Count the refusal in the metrics, if it is one by a quota and not for a missing limit."""
    quota = problem.errors[0].field
    if quota.startswith("quota."):
        REFUSALS.labels(quota.removeprefix("quota.")).inc()
    return problem


def _over(quota: float | None, promised: float, wanted: float | None, what: str) -> Problem | None:
    """The refusal of a job that wants ``wanted`` of a daily quota of which ``promised`` is taken."""
    if quota is None:
        return None
    if wanted is None:
        error = FieldError(
            field=f"limits.{what}",
            message=f"is missing: this key may spend {quota:g} {what} a day, so each job has to say how much it may",
            remedy="add the limit",
        )
        return invalid_request([error])
    if promised + wanted <= quota:
        return None
    seconds = _seconds_to_midnight()
    error = FieldError(
        field=f"quota.{what}_per_day",
        value=promised,
        message=f"{promised:g} of {quota:g} {what} are spent or promised today, and this job may spend {wanted:g}",
        remedy=f"ask for less, wait for jobs to end below their limits, or for midnight UTC in {seconds} s",
    )
    return _exhausted(error, seconds)


def _seconds_to_midnight() -> int:
    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, round((midnight - now).total_seconds()))


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

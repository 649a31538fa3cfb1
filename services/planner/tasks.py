"""The worker's side: run a search and keep its result."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import redis

from kit.db import transaction
from kit.problems import FieldError, Problem, invalid_request
from kit.worker import JobContext, Outcome
from planner import cache, shards, store
from planner.engine import InvalidRequest
from planner.schemas import PlanRequest
from planner.splitting import lead, shards_worth

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from planner.engine import PlanResult, Progress
    from planner.settings import PlannerSettings

_AT_ONCE_SECONDS = 0.1


def plan(settings: PlannerSettings, context: JobContext) -> Outcome:
    """Run the job's search, unless an earlier attempt or another job already kept its result."""
    with transaction(context.engine) as session:
        key, document = store.search_of(session, context.job_id)
    if document is None:
        try:
            found = _search(settings, context)
        except InvalidRequest as error:
            raise refusal(error) from error
        document = found.model_dump(mode="json")
    result = document
    cache.write(_client(settings.redis_url.get_secret_value()), key, result, settings.plan_cache_seconds)

    def keep(session: Session) -> None:
        store.save_result(session, key, result)
        shards.drop(session, context.job_id)

    return Outcome(keep)


def _search(settings: PlannerSettings, context: JobContext) -> PlanResult:
    request = PlanRequest.model_validate(context.spec)
    question = request.asked()
    count = shards_worth(settings, question)
    return request.run(_told_late(context)) if count == 1 else lead(settings, context, question, count)


def _told_late(context: JobContext) -> Progress:
    """Progress from when it is worth a row: of a search that is over at once, writing it took longer than searching."""
    told_from = time.monotonic() + _AT_ONCE_SECONDS

    def tell(phase: str, completed: int, total: int, unit: str) -> None:
        if time.monotonic() < told_from:
            context.check()
        else:
            context.progress(phase, completed, total, unit)

    return tell


@functools.cache
def _client(url: str) -> redis.Redis:
    """One client for each child process."""
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def refusal(error: InvalidRequest) -> Problem:
    """The 422 for a question the engine refuses."""
    wrong = FieldError(field=error.field, message=error.message, value=error.value, remedy=error.remedy)
    return invalid_request([wrong])

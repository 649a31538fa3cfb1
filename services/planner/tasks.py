"""The worker's side: run a search and keep its result."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import redis

from kit.db import transaction
from kit.problems import FieldError, Problem, invalid_request
from kit.worker import JobContext, Outcome
from planner import cache, store
from planner.engine import InvalidRequest
from planner.schemas import PlanRequest

if TYPE_CHECKING:
    from planner.settings import PlannerSettings


def plan(settings: PlannerSettings, context: JobContext) -> Outcome:
    """Run the job's search, unless an earlier attempt or another job already kept its result."""
    with transaction(context.engine) as session:
        key = store.search_key(session, context.job_id)
        document = store.result(session, key)
    if document is None:
        try:
            found = PlanRequest.model_validate(context.spec).run(context.progress)
        except InvalidRequest as error:
            raise refusal(error) from error
        document = found.model_dump(mode="json")
    result = document
    cache.write(_client(settings.redis_url.get_secret_value()), key, result, settings.plan_cache_seconds)
    return Outcome(lambda session: store.save_result(session, key, result))


@functools.cache
def _client(url: str) -> redis.Redis:
    """One client for each child process."""
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def refusal(error: InvalidRequest) -> Problem:
    """The 422 for a question the engine refuses."""
    wrong = FieldError(field=error.field, message=error.message, value=error.value, remedy=error.remedy)
    return invalid_request([wrong])

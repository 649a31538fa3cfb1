"""The worker's side: run a search and keep its result."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING

import redis

from kit.db import transaction
from kit.worker import JobContext, Outcome
from planner import cache, shards, store
from planner.engine import InvalidRequest
from planner.schemas import PlanRequest
from planner.splitting import lead, shards_worth
from planner.unanswerable import refusal

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from planner.engine import Progress
    from planner.settings import PlannerSettings

_AT_ONCE_SECONDS = 0.1


def plan(settings: PlannerSettings, context: JobContext) -> Outcome:
    """Run the job's search, unless another job kept its result while this one waited to be tried again."""
    assert context.active_key is not None  # noqa: S101 - plans are submitted under their search's key
    key, shared = context.active_key, 1
    document = _kept(context, key)
    if document is None:
        try:
            request = PlanRequest.model_validate(context.spec)
            question = request.asked()
            shared = shards_worth(settings, question)
            found = request.run(_told_late(context)) if shared == 1 else lead(settings, context, question, shared)
        except InvalidRequest as error:
            raise refusal(error) from error
        document = found.model_dump_json()
    result = document
    cache.write(_client(settings.redis_url.get_secret_value()), key, result, settings.plan_cache_seconds)

    def keep(session: Session) -> None:
        store.save_result(session, key, result)
        if shared > 1:
            shards.drop(session, context.job_id)

    return Outcome(keep)


def _kept(context: JobContext, key: str) -> str | None:
    """The result as JSON, if there is one. A job is not born queued when there is: at first none is looked for."""
    if context.held.attempt == 1:
        return None
    with transaction(context.engine) as session:
        document = store.result(session, key)
    return None if document is None else json.dumps(document)


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

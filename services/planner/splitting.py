"""A large search on several workers. The job's worker leads: it makes the shards, calls for help, works itself, joins.

A call for help is a message with the job's id. Each is worth one shard; one that is lost or late costs time, for the
leader works on whatever nobody took.
"""

from __future__ import annotations

import functools
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from kit.db import transaction
from kit.log import get_logger
from kit.queue import assist_name, make_celery, task_name
from kit.worker import worker_name
from planner import shards
from planner.engine import Part, PlanResult, Share, answer, search_share
from planner.engine.size import layouts_of
from planner.schemas import PlanRequest
from planner.settings import SERVICE
from planner.shard_lease import ShardLease, UnwantedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from celery import Celery
    from sqlalchemy import Engine

    from kit.settings import JobSettings
    from kit.worker import JobContext
    from planner.engine.inputs import Cluster
    from planner.engine.modes import Question
    from planner.settings import PlannerSettings
    from planner.shards import ShardClaim

_EXHAUSTIVE = 8
"""Layouts that pricing everything in one costs: 7 to 11 were measured."""

_SHARDS_AT_THE_LEAST = 4
"""Shards take unlike times: more of them than workers keep all busy to the end."""

_MOST_SHARDS = 64
_WAIT_SECONDS = 0.1

logger = get_logger(__name__)


def shards_worth(settings: PlannerSettings, question: Question[Cluster]) -> int:
    """Return into how many shards to split a search; 1 where it does not pay, or where its time is limited."""
    if question.options.time_limit_seconds is not None:
        return 1
    weight = _EXHAUSTIVE if question.options.method == "exhaustive" else 1
    layouts = layouts_of(question) * weight
    if layouts < settings.plan_split_layouts:
        return 1
    return min(_SHARDS_AT_THE_LEAST * layouts // settings.plan_split_layouts, _MOST_SHARDS)


def lead(settings: PlannerSettings, context: JobContext, question: Question[Cluster], count: int) -> PlanResult:
    """Search by shards until every part is kept, and join them. Raises like ``context.check``."""
    job_id, engine = context.job_id, context.engine
    total = context.write(lambda session: shards.split(session, job_id, count))
    context.emit("search.split", {"shards": total}, key="split")
    # Not waited for: where the broker is away, it takes seconds to say so.
    threading.Thread(target=_call, args=(settings, job_id, total - 1), daemon=True).start()
    while (done := _done(engine, job_id)) < total:
        context.progress("shards", done, total, "shards")
        with transaction(engine) as session:
            held = shards.claim(session, job_id, worker_name(), _lease(settings))
        if held is None:
            time.sleep(_WAIT_SECONDS)
        else:
            _work(engine, settings, question, held, total, context.check)
    context.progress("join", total, total, "shards")
    with transaction(engine) as session:
        rows = shards.kept(session, job_id)
    joined = {"shards": total, "workers": len({row.worker for row in rows}), "attempts": [row.attempt for row in rows]}
    context.emit("search.joined", joined, key="joined")
    return answer(question, [Part.model_validate(row.part) for row in rows])


def assist(settings: PlannerSettings, engine: Engine, job_id: UUID) -> None:
    """Answer a call for help: work on one shard of the job, if one is to be had. A fault is left to who leads."""
    try:
        _help(settings, engine, job_id)
    except Exception as fault:
        logger.warning("help ended", job_id=str(job_id), exc_info=fault)


def _help(settings: PlannerSettings, engine: Engine, job_id: UUID) -> None:
    with transaction(engine) as session:
        spec, total = shards.spec(session, job_id), shards.count(session, job_id)
        held = shards.claim(session, job_id, worker_name(), _lease(settings), settings.max_attempts)
    if spec is None or held is None:
        return
    try:
        _work(engine, settings, PlanRequest.model_validate(spec).asked(), held, total, lambda: None)
    except Exception:
        with transaction(engine) as session:
            shards.give_back(session, held)
        raise


def _work(
    engine: Engine,
    settings: JobSettings,
    question: Question[Cluster],
    held: ShardClaim,
    total: int,
    check: Callable[[], None],
) -> None:
    """Search one shard and keep its part. One lost on the way is left to who has it. Raises like ``check``."""
    with ShardLease(engine, settings, held) as lease:

        def go_on(phase: str, completed: int, total: int, unit: str) -> None:
            del phase, completed, total, unit
            check()
            lease.check()

        try:
            part = search_share(question, Share(held.number, total), go_on)
        except UnwantedError:
            return
    with transaction(engine) as session:
        shards.keep(session, held, part)


def _done(engine: Engine, job_id: UUID) -> int:
    with transaction(engine) as session:
        return shards.done(session, job_id)


def _lease(settings: JobSettings) -> timedelta:
    return timedelta(seconds=settings.lease_seconds)


def _call(settings: PlannerSettings, job_id: UUID, helpers: int) -> None:
    """Ring for helpers. Without a broker the leader works alone."""
    app = _celery(settings)
    try:
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(helpers):
                app.send_task(
                    assist_name(SERVICE), args=[str(job_id)], queue=task_name(SERVICE), producer=producer, retry=False
                )
    except (OperationalError, OSError) as error:
        logger.warning("no help called, the broker is away", job_id=str(job_id), error=type(error).__name__)


@functools.cache
def _celery(settings: PlannerSettings) -> Celery:
    """One application for each child process."""
    return make_celery(settings)

"""The worker's side: run an episode, resuming what earlier attempts at it recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from codetree import store
from codetree.assemble import build_spec, sandbox_executor, unusable_models
from codetree.engine.episode import run_episode
from codetree.engine.outcome import StopReason
from codetree.engine.replay import NobodyExecutor, NobodyLLM
from codetree.journal import DatabaseJournal
from codetree.llm.pool import ModelPool, PoolError, resolve_models
from codetree.replaying import load_source
from codetree.schemas import StoredRequest
from kit.problems import Problem
from kit.usage import settle_usage
from kit.worker import JobContext, Outcome, TransientError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from codetree.engine.outcome import EpisodeResult
    from codetree.runtime import Runtime
    from codetree.settings import CodetreeServiceSettings


def solve(runtime: Runtime, settings: CodetreeServiceSettings, context: JobContext) -> Outcome:
    """Run the job's episode. An outage of the sandbox sends the job back to the queue while attempts are left."""
    result = runtime.run(context, lambda: _episode(runtime, settings, context))
    attempts_left = context.held.attempt < settings.max_attempts
    if result.stop_reason is StopReason.EXECUTOR_ERROR and attempts_left and not context.spec.get("replay"):
        raise TransientError(result.error or "the sandbox is away")
    return Outcome(partial(_store, context, result), None if result.succeeded else _no_answer(result))


def _store(context: JobContext, result: EpisodeResult, session: Session) -> None:
    store.save_result(session, context.job_id, result)
    if not context.spec.get("replay"):
        settle_usage(session, context.job_id, result.usage.tokens, result.usage.money_usd or 0.0)


async def _episode(runtime: Runtime, settings: CodetreeServiceSettings, context: JobContext) -> EpisodeResult:
    request = StoredRequest.model_validate(context.spec, strict=False)
    source = await asyncio.to_thread(load_source, context, request.replay) if request.replay else None
    journal = await asyncio.to_thread(DatabaseJournal, context, source.recorded if source else None)
    if source is not None and source.mode == "strict":
        spec = build_spec(request, ModelPool(journal.models(()), {}, []), settings)
        nobody = NobodyLLM(), NobodyExecutor()
        return await run_episode(spec, llm=nobody[0], executor=nobody[1], journal=journal, replay=source.replay)
    elapsed_seconds = (datetime.now(UTC) - context.started_at).total_seconds()
    try:
        pool = resolve_models(request.weighted_models, runtime.providers)
        spec = replace(build_spec(request, pool, settings), models=journal.models(pool.models))
    except PoolError as error:
        raise unusable_models(error) from error
    name = str(context.job_id)
    async with sandbox_executor(
        settings, client=runtime.sandbox, owner=name, gateway=runtime.gateway, request_id=context.request_id
    ) as executor:
        return await run_episode(
            spec,
            llm=pool,
            executor=executor,
            journal=journal,
            elapsed_seconds=elapsed_seconds,
            services=runtime.planner.for_episode(name),
        )


def _no_answer(result: EpisodeResult) -> Problem:
    detail = f"{result.error} (stopped: {result.stop_reason.value})" if result.error else result.stop_reason.value
    return Problem(200, "no-answer", "No program gave an answer", detail)

"""From a task to a job, and the same for a line of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from codetree import store
from codetree.assemble import build_spec, unusable_models
from codetree.llm.pool import PoolError, resolve_models
from codetree.schemas import PlannerToolRequest, SolveRequest, StoredRequest
from codetree.settings import SERVICE
from kit.batches.web import BatchLines
from kit.jobs import Submission
from kit.problems import Problem
from kit.quotas import Spending
from kit.webhooks.intake import target_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from fastapi import Request
    from sqlalchemy.orm import Session

    from codetree.settings import CodetreeServiceSettings
    from kit.auth import Principal
    from kit.batches.lines import Line, Parse

PLANNER_SCOPE = "plans:write"
_NOT_THE_TASK = {"external_id", "priority"}


def settings_of(request: Request) -> CodetreeServiceSettings:
    """The settings of the application that answers ``request``."""
    return cast("CodetreeServiceSettings", request.app.state.jobs.settings)


def check(body: SolveRequest, caller: Principal, request: Request) -> None:
    """Refuse what the workers could not run, or not for this caller. Raises ``Problem`` 422 or 403."""
    uses_planner = any(isinstance(tool, PlannerToolRequest) for tool in body.tools)
    if uses_planner and not caller.scopes & {PLANNER_SCOPE, "admin"}:
        detail = f"A program that calls the planner acts for you, and this key lacks the scope {PLANNER_SCOPE!r}."
        raise Problem(403, "forbidden", "Forbidden", detail)
    try:
        build_spec(body, resolve_models(body.weighted_models, request.app.state.providers), settings_of(request))
    except PoolError as error:
        raise unusable_models(error) from error


def submission_of(body: SolveRequest, caller: Principal, request: Request) -> Submission:
    """The task as a job of ``caller``. Raises ``Problem`` 422 where its webhook may not go."""
    settings = settings_of(request)
    return Submission(
        service=SERVICE,
        owner=caller.owner,
        api_key=caller.key,
        quota=caller.quota,
        spending=_spending(body),
        spec=body.model_dump(mode="json", exclude=_NOT_THE_TASK),
        max_attempts=settings.max_attempts,
        labels=body.labels,
        external_id=body.external_id,
        webhook_url=target_of(body.webhook, allow_private=settings.webhook_allow_private),
        priority=body.priority,
        request_id=request.state.request_id,
    )


def _spending(body: SolveRequest) -> Spending | None:
    """What the episode may spend; a strict replay asks no model."""
    if isinstance(body, StoredRequest) and body.replay is not None and body.replay.mode == "strict":
        return None
    return Spending(body.limits.money_usd, body.limits.tokens)


def _parse(request: Request, caller: Principal) -> Parse:
    def parse(value: Any) -> Submission:
        body = SolveRequest.model_validate(value)
        check(body, caller, request)
        return submission_of(body, caller, request)

    return parse


def _register(session: Session, made: Sequence[tuple[UUID, Line]]) -> None:
    store.add_episodes(session, [job_id for job_id, _ in made])


LINES = BatchLines(parse=_parse, computed=lambda *_: (), register=_register, views=store.views)
"""No two episodes are taken for the same: models answer differently each time."""

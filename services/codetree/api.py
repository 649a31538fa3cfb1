"""The codetree API: POST /solve, and what every job has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response

from codetree import api_exports, store
from codetree.intake import LINES, check, submission_of
from codetree.llm.providers import Providers
from codetree.schemas import SolveRequest, SolveView, StoredRequest, Tree
from codetree.settings import SERVICE, CodetreeServiceSettings
from kit import canonical
from kit.auth import Principal
from kit.batches.web import batch_router
from kit.jobs import queries, submit
from kit.jobs.web import JobHeaders, SessionDependency, accepted, create_job_app, job_router
from kit.problems import Problem
from kit.web.app import problem_response
from kit.web.caller import require
from kit.web.conditional import NOT_CHANGED, IfNoneMatch, not_modified

PREFIX = "/solve"

router = APIRouter(prefix=PREFIX, tags=["episodes"])
Writer = Annotated[Principal, Depends(require("solve:write"))]
_NOT_FOUND = problem_response("There is no such job, or it is not yours")
Reader = Annotated[Principal, Depends(require("solve:read"))]


@router.post("", status_code=202, summary="Solve a task by a tree of programs", responses={409: problem_response("")})
async def solve(
    body: SolveRequest,
    caller: Writer,
    headers: JobHeaders,
    request: Request,
    response: Response,
    session: SessionDependency,
) -> SolveView:
    """Accept an episode. 202 with `Location`; the same `Idempotency-Key` or `external_id` answers the same job."""
    check(body, caller, request)
    submission = replace(submission_of(body, caller, request), idempotency_key=headers.idempotency_key)
    outcome = await session.run_sync(submit, submission)
    if outcome.created:
        await session.run_sync(store.add_episodes, [outcome.job.id])
    view = (await session.run_sync(store.views, [outcome.job]))[0]
    return accepted(response, outcome.job, view)


@router.post("/{job_id}/replay", status_code=202, responses={404: _NOT_FOUND, 409: problem_response("It runs yet")})
async def replay(
    job_id: UUID,
    caller: Writer,
    headers: JobHeaders,
    request: Request,
    response: Response,
    session: SessionDependency,
    mode: Annotated[
        Literal["strict", "else_live"], Query(description="what to do where nothing is recorded")
    ] = "strict",
) -> SolveView:
    """Run a finished episode again from its record: `strict` asks no model and runs no program."""
    job = await session.run_sync(queries.get, SERVICE, caller.owner, job_id)
    if await session.run_sync(store.result, job_id) is None:
        raise Problem(
            409, "not-finished", "The episode has no result", "Only an episode with a result can be replayed."
        )
    stored = StoredRequest.model_validate({**job.spec, "replay": {"of": str(job_id), "mode": mode}}, strict=False)
    if mode == "else_live":
        check(stored, caller, request)
    submission = replace(
        submission_of(stored, caller, request), external_id=None, idempotency_key=headers.idempotency_key
    )
    outcome = await session.run_sync(submit, submission)
    if outcome.created:
        await session.run_sync(store.add_episodes, [outcome.job.id])
    view = (await session.run_sync(store.views, [outcome.job]))[0]
    return accepted(response, outcome.job, view)


@router.get("/{job_id}/tree", response_model=Tree, responses={404: _NOT_FOUND, **NOT_CHANGED})
async def read_tree(
    job_id: UUID, caller: Reader, response: Response, session: SessionDependency, if_none_match: IfNoneMatch = None
) -> Tree | Response:
    """The tree as it stands: every node with its thought, program, execution and answer."""
    await session.run_sync(queries.get, SERVICE, caller.owner, job_id)
    tree = await session.run_sync(store.tree, job_id)
    tag = f'"{canonical.digest(tree.model_dump_json())}"'
    response.headers["ETag"] = tag
    return not_modified(tag, if_none_match) or tree


def make_app(settings: CodetreeServiceSettings) -> FastAPI:
    """The application."""
    jobs = job_router(service=SERVICE, prefix=PREFIX, noun="episodes", scope="solve", view=SolveView, views=store.views)
    app = create_job_app(
        service=SERVICE,
        title="Astrolabe codetree",
        settings=settings,
        host=settings.codetree_host,
        routers=[api_exports.router, router, jobs],
        streaming_routers=[batch_router(service=SERVICE, scope="solve", lines=LINES)],
        examples=Path(__file__).with_name("examples.json"),
    )
    app.state.providers = Providers(settings)
    return app

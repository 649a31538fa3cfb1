"""The planner API: POST /plans, POST /estimates, and what every job has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool

from kit.auth import Principal
from kit.batches.web import batch_router
from kit.jobs import Job, JobStatus, submit
from kit.jobs.web import JobHeaders, SessionDependency, accepted, create_job_app, job_router, state_of
from kit.web.app import problem_response
from kit.web.caller import require
from kit.web.problems import render
from planner import cache, exports, store
from planner.calibration.api import router as calibrations
from planner.calibration.naming import resolved
from planner.catalog import Gpu, Price, gpus, models, prices
from planner.catalog.models import ModelPreset
from planner.engine import Estimate, InvalidRequest
from planner.intake import LINES, require_answerable, search_key, submission_of
from planner.schemas import EstimateRequest, Estimates, PlanRequest, PlanView
from planner.settings import SERVICE, PlannerSettings
from planner.unanswerable import refusal

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

PLAN_CACHE = Counter("astrolabe_plan_cache", "Whether a plan was at hand when it was asked for.", ["outcome"])

router = APIRouter()
Writer = Annotated[Principal, Depends(require("plans:write"))]
Reader = Annotated[Principal, Depends(require("plans:read"))]


@router.post(
    store.PREFIX,
    status_code=202,
    tags=["plans"],
    summary="Search the best strategies",
    responses={409: problem_response("`external_id` was used for another request")},
)
async def create_plan(
    body: PlanRequest,
    caller: Writer,
    headers: JobHeaders,
    request: Request,
    response: Response,
    session: SessionDependency,
) -> PlanView:
    """Accept a search. The same question asked before is answered at once; asked at the same time, computed once."""
    state = state_of(request)
    body = await session.run_sync(resolved, caller.owner, body)
    spec = body.spec()
    key = search_key(body, spec)
    document = await cache.read(state.redis, key) or await session.run_sync(store.result, key)
    PLAN_CACHE.labels("miss" if document is None else "hit").inc()
    if document is None:
        require_answerable(body)
    submission = replace(
        submission_of(body, spec, key, caller, state.settings, request.state.request_id),
        idempotency_key=headers.idempotency_key,
        finished=document is not None,
    )
    outcome = await session.run_sync(lambda sync: submit(sync, submission, lambda: store.has_result(sync, key)))
    if outcome.created:
        await session.run_sync(store.add_plans, [(outcome.job.id, key)])
        if document is not None:
            await session.run_sync(store.keep_result, key, document)
    at_hand = document if outcome.created else None
    return accepted(response, outcome.job, await session.run_sync(_view_of, outcome.job, at_hand))


def _view_of(session: Session, job: Job, document: dict[str, Any] | None) -> PlanView:
    """The job's view, without asking for a result that is at hand or that there is none of yet."""
    if document is not None or job.status != JobStatus.SUCCEEDED:
        return store.view(job, document)
    return store.views(session, [job])[0]


@router.post("/estimates", tags=["estimates"], summary="Price given strategies")
async def price(body: EstimateRequest, caller: Reader, session: SessionDependency) -> Estimate | Estimates:
    """Price one strategy or several, at once."""
    return await run_in_threadpool((await session.run_sync(resolved, caller.owner, body)).run)


@router.get("/catalog/gpus", tags=["catalog"], summary="The accelerators the planner knows, with datasheet facts")
def list_gpus(caller: Reader) -> list[Gpu]:
    """Names and aliases to use in `cluster`; rates in 1e9 bytes per second in one direction, memory in GiB."""
    del caller
    return list(gpus().values())


@router.get("/catalog/models", tags=["catalog"], summary="The model presets")
def list_models(caller: Reader) -> list[ModelPreset]:
    """Names to use in `model.preset`, their dimensions and the parameter count their makers give."""
    del caller
    return list(models().values())


@router.get("/catalog/prices", tags=["catalog"], summary="Prices of accelerators, dated and sourced")
def list_prices(caller: Reader) -> list[Price]:
    """US dollars per GPU-hour; snapshots, to be overridden in a request where they are out of date."""
    del caller
    return list(prices())


def make_app(settings: PlannerSettings) -> FastAPI:
    """The application."""
    jobs = job_router(
        service=SERVICE, prefix=store.PREFIX, noun="plans", scope="plans", view=PlanView, views=store.views
    )
    app = create_job_app(
        service=SERVICE,
        title="Astrolabe planner",
        settings=settings,
        host=settings.planner_host,
        routers=[router, exports.router, calibrations, jobs],
        streaming_routers=[batch_router(service=SERVICE, scope="plans", lines=LINES)],
        examples=Path(__file__).with_name("examples.json"),
    )
    app.add_exception_handler(InvalidRequest, _refused)
    return app


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidRequest)  # noqa: S101 - registered for this type only
    return render(request, refusal(error))

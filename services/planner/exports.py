"""GET /plans/{id}/exports/{format}: a plan for those who will run it."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from kit.auth import Principal
from kit.jobs import JobStatus, queries
from kit.jobs.web import SessionDependency
from kit.problems import FieldError, Problem, invalid_request
from kit.web.app import problem_response
from kit.web.caller import require
from planner import store
from planner.export import CannotExpressError, PlanContext, render
from planner.schemas import PlanRequest
from planner.settings import SERVICE

router = APIRouter(prefix=store.PREFIX, tags=["plans"])
Reader = Annotated[Principal, Depends(require("plans:read"))]
MEDIA_TYPES = ("text/x-shellscript", "text/x-python", "application/toml", "application/json")
Format = Literal["megatron", "nemo", "torchtitan", "deepspeed", "trace"]


@router.get(
    "/{job_id}/exports/{export_format}",
    response_class=Response,
    summary="A plan as arguments, recipe or configuration of its consumer, or as a trace",
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES}},
        404: problem_response("There is no such plan, or it is not yours"),
        409: problem_response("The plan is not finished, or nothing was feasible"),
    },
)
async def export_plan(
    job_id: UUID,
    export_format: Format,
    caller: Reader,
    session: SessionDependency,
    rank: Annotated[int, Query(ge=1, le=100, description="Which candidate; 1 is the best.")] = 1,
) -> Response:
    """The file for the consumer; 422 names the dimension of the plan that the consumer has no way to say."""
    job = await session.run_sync(queries.get, SERVICE, caller.owner, job_id)
    if job.status != JobStatus.SUCCEEDED:
        raise Problem(409, "no-plan", "There is no plan", f"The job is {job.status}: wait until it has succeeded.")
    view = (await session.run_sync(store.views, [job]))[0]
    if len(view.candidates) < rank:
        detail = f"The answer has {len(view.candidates)} candidates; choose a rank among them."
        raise Problem(409, "no-plan", "There is no plan", detail)
    asked = PlanRequest.model_validate(job.spec)
    context = PlanContext.of(asked.model, asked.workload, asked.cluster, view.candidates[rank - 1])
    try:
        export = render(export_format, context)
    except CannotExpressError as error:
        remedy = "choose another rank or format, or search again with this dimension fixed in search.space"
        wrong = FieldError(field=error.dimension, value=error.value, message=str(error), remedy=remedy)
        raise invalid_request([wrong]) from error
    disposition = f'attachment; filename="{export.filename}"'
    return Response(export.text, media_type=export.media_type, headers={"Content-Disposition": disposition})

"""POST /calibrations: measured runs in, a calibration out."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from kit.auth import Principal
from kit.jobs.web import JobHeaders, SessionDependency
from kit.paging import PageQuery
from kit.problems import Problem
from kit.web.app import problem_response
from kit.web.caller import actor_of, require
from kit.web.conditional import NOT_CHANGED, IfNoneMatch, not_modified
from planner.calibration import store
from planner.calibration.answer import calibrate
from planner.calibration.schemas import CalibrationList, CalibrationRequest, CalibrationView

PREFIX = "/calibrations"
router = APIRouter(prefix=PREFIX, tags=["calibrations"])
Writer = Annotated[Principal, Depends(require("plans:write"))]
Reader = Annotated[Principal, Depends(require("plans:read"))]
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: problem_response("There is no such calibration, or it is not yours")
}


@router.post("", status_code=201, summary="Fit the cost model to your own runs")
async def create_calibration(
    body: CalibrationRequest,
    caller: Writer,
    headers: JobHeaders,
    request: Request,
    response: Response,
    session: SessionDependency,
) -> CalibrationView:
    """Fit 3 to 50 measured runs on top of the default calibration; errors are leave-one-out."""
    key, actor = headers.idempotency_key, actor_of(request, caller)
    view = await session.run_sync(store.earlier, caller.owner, body, key)
    if view is None:
        result = await run_in_threadpool(calibrate, body)
        view = await session.run_sync(store.add, actor, body, result, key)
    response.headers["Location"] = f"{PREFIX}/{view.id}"
    response.headers["ETag"] = _entity_tag(view.id)
    return view


@router.get("", summary="List calibrations, the newest first")
async def list_calibrations(
    query: Annotated[PageQuery, Query()], caller: Reader, session: SessionDependency
) -> CalibrationList:
    """List the calibrations you sent."""
    items, following = await session.run_sync(store.page, caller.owner, query)
    return CalibrationList(items=items, next_cursor=following)


@router.get(
    "/{calibration}", summary="One calibration", response_model=CalibrationView, responses=_NOT_FOUND | NOT_CHANGED
)
async def read_calibration(
    calibration: UUID, caller: Reader, response: Response, session: SessionDependency, if_none_match: IfNoneMatch = None
) -> CalibrationView | Response:
    """Return its factors and errors."""
    view = await session.run_sync(store.find, caller.owner, calibration)
    if view is None:
        raise _not_found(calibration)
    response.headers["ETag"] = _entity_tag(calibration)
    return not_modified(_entity_tag(calibration), if_none_match) or view


@router.delete("/{calibration}", status_code=204, summary="Forget a calibration", responses=_NOT_FOUND)
async def delete_calibration(calibration: UUID, caller: Writer, request: Request, session: SessionDependency) -> None:
    """Plans that named it stand: they carry its factors. Nothing can name it any more."""
    if not await session.run_sync(store.remove, actor_of(request, caller), calibration):
        raise _not_found(calibration)


def _entity_tag(calibration: UUID) -> str:
    """A calibration never changes."""
    return f'"{calibration}"'


def _not_found(calibration: UUID) -> Problem:
    detail = f"There is no calibration {calibration}; list your calibrations to find its id."
    return Problem(404, "not-found", "Not found", detail)

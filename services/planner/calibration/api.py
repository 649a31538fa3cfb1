"""POST /calibrations: measured runs in, a calibration out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from starlette.concurrency import run_in_threadpool

from kit.auth import Principal, require
from kit.jobs.web import SessionDependency
from kit.problems import Problem
from kit.web.app import problem_response
from planner.calibration import store
from planner.calibration.answer import calibrate
from planner.calibration.schemas import CalibrationRequest, CalibrationView
from planner.catalog import digest

PREFIX = "/calibrations"
router = APIRouter(prefix=PREFIX, tags=["calibrations"])
Writer = Annotated[Principal, Depends(require("plans:write"))]
Reader = Annotated[Principal, Depends(require("plans:read"))]


@router.post("", status_code=201, summary="Fit the cost model to your own runs")
async def create_calibration(
    body: CalibrationRequest, caller: Writer, response: Response, session: SessionDependency
) -> CalibrationView:
    """Fit 3 to 50 measured runs on top of the default calibration; errors are leave-one-out."""
    result = await run_in_threadpool(calibrate, body)
    view = await session.run_sync(store.add, caller.owner, body, result, digest())
    response.headers["Location"] = f"{PREFIX}/{view.id}"
    return view


@router.get("", summary="Your calibrations, the newest first")
async def list_calibrations(
    caller: Reader, session: SessionDependency, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[CalibrationView]:
    """List the newest calibrations you sent."""
    return await session.run_sync(store.latest, caller.owner, limit)


@router.get("/{calibration}", summary="One calibration", responses={404: problem_response("No such calibration")})
async def read_calibration(calibration: UUID, caller: Reader, session: SessionDependency) -> CalibrationView:
    """Return its factors and errors."""
    view = await session.run_sync(store.find, caller.owner, calibration)
    if view is None:
        raise Problem(404, "not-found", "Not found", f"You have no calibration {calibration}.")
    return view

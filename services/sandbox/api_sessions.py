"""Sessions over HTTP: open, list, look, interrupt, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from kit.web.app import problem_response
from sandbox.limits import resolve, resolve_lifetime
from sandbox.render import session_answer
from sandbox.schemas import SessionAnswer, SessionList, SessionRequest
from sandbox.service import Caller, caller_of, decoded_files

router = APIRouter(prefix="/sessions", tags=["sessions"])

NO_SESSION: dict[int | str, dict[str, Any]] = {
    404: problem_response("There is no such session, or it is another owner's")
}
By = Annotated[Caller, Depends(caller_of)]


@router.post("", status_code=201, summary="Open an interpreter that keeps its state between executions")
async def create_session(wanted: SessionRequest, response: Response, caller: By) -> SessionAnswer:
    """It ends when deleted, when idle or open for too long, or when its interpreter ends."""
    limits = resolve(wanted.limits.model_dump(), caller.service.settings)
    lifetime = resolve_lifetime(wanted.idle_seconds, wanted.total_seconds, caller.service.settings)
    files = decoded_files(wanted.files, limits)
    pool = await caller.service.confinement.pool()
    session = await caller.service.sessions.create(caller.owner, pool, limits, lifetime, files)
    response.headers["Location"] = f"/sessions/{session.id}"
    return session_answer(session, caller.service.confinement.describe())


@router.get("", summary="The caller's open sessions")
async def list_sessions(caller: By) -> SessionList:
    """Oldest first."""
    isolation = caller.service.confinement.describe()
    return SessionList(
        sessions=[session_answer(session, isolation) for session in caller.service.sessions.of(caller.owner)]
    )


@router.get("/{session_id}", summary="One open session", responses=NO_SESSION)
async def get_session(session_id: str, caller: By) -> SessionAnswer:
    """404 for one that ended."""
    return session_answer(caller.service.sessions.get(caller.owner, session_id), caller.service.confinement.describe())


@router.post(
    "/{session_id}/interrupt", status_code=202, summary="Raise KeyboardInterrupt in what runs", responses=NO_SESSION
)
async def interrupt_session(session_id: str, caller: By) -> None:
    """Does nothing to a session that is idle."""
    await caller.service.sessions.get(caller.owner, session_id).interrupt()


@router.delete("/{session_id}", status_code=204, summary="End a session and whatever runs in it", responses=NO_SESSION)
async def delete_session(session_id: str, caller: By) -> None:
    """Nothing of it stays."""
    session = caller.service.sessions.get(caller.owner, session_id)
    await caller.service.sessions.end(session, "it was deleted")

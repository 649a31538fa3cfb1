"""Sessions over HTTP: open, list, look, interrupt, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from kit.web.app import problem_response
from sandbox.limits import resolve, resolve_lifetime
from sandbox.render import session_answer
from sandbox.schemas import SessionAnswer, SessionList, SessionRequest
from sandbox.service import Service, decoded_files, owner_of, service_of

router = APIRouter(prefix="/sessions", tags=["sessions"])

NO_SESSION: dict[int | str, dict[str, Any]] = {
    404: problem_response("There is no such session, or it is another owner's")
}
ServiceOf = Annotated[Service, Depends(service_of)]
OwnerOf = Annotated[str, Depends(owner_of)]


@router.post("", status_code=201, summary="Open an interpreter that keeps its state between executions")
async def create_session(
    wanted: SessionRequest, response: Response, service: ServiceOf, owner: OwnerOf
) -> SessionAnswer:
    """It ends when deleted, when idle or open for too long, or when its interpreter ends."""
    limits = resolve(wanted.limits.model_dump(), service.settings)
    lifetime = resolve_lifetime(wanted.idle_seconds, wanted.total_seconds, service.settings)
    files = decoded_files(wanted.files, limits)
    pool = await service.confinement.pool()
    session = await service.sessions.create(owner, pool, limits, lifetime, files)
    response.headers["Location"] = f"/sessions/{session.id}"
    return session_answer(session, service.confinement.describe())


@router.get("", summary="The caller's open sessions")
async def list_sessions(service: ServiceOf, owner: OwnerOf) -> SessionList:
    """Oldest first."""
    isolation = service.confinement.describe()
    return SessionList(sessions=[session_answer(session, isolation) for session in service.sessions.of(owner)])


@router.get("/{session_id}", summary="One open session", responses=NO_SESSION)
async def get_session(session_id: str, service: ServiceOf, owner: OwnerOf) -> SessionAnswer:
    """404 for one that ended."""
    return session_answer(service.sessions.get(owner, session_id), service.confinement.describe())


@router.post(
    "/{session_id}/interrupt", status_code=202, summary="Raise KeyboardInterrupt in what runs", responses=NO_SESSION
)
async def interrupt_session(session_id: str, service: ServiceOf, owner: OwnerOf) -> None:
    """Does nothing to a session that is idle."""
    await service.sessions.get(owner, session_id).interrupt()


@router.delete("/{session_id}", status_code=204, summary="End a session and whatever runs in it", responses=NO_SESSION)
async def delete_session(session_id: str, service: ServiceOf, owner: OwnerOf) -> None:
    """Nothing of it stays."""
    session = service.sessions.get(owner, session_id)
    await service.sessions.end(session, "it was deleted")

"""Exports over HTTP: of one episode, or of all that match, streamed as JSON Lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime  # noqa: TC002 - FastAPI reads the annotation

from codetree import store
from codetree.export import ExportKind, Filters, Finished
from codetree.export.stream import lines, manifest
from kit.auth import Principal
from kit.db import async_transaction
from kit.jobs import queries
from kit.jobs.web import SessionDependency, state_of
from kit.problems import FieldError, invalid_request
from kit.web.app import problem_response
from kit.web.caller import require

_MEDIA_TYPE = "application/jsonl"
_PAGE = 20

router = APIRouter(prefix="/solve", tags=["exports"])
Reader = Annotated[Principal, Depends(require("solve:read"))]
FilterQuery = Annotated[Filters, Query()]
_MAX_IDS = 500


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [label.partition("=") for label in given]
    if wrong := [label for label, (_, equals, _) in zip(given, pairs, strict=True) if not equals]:
        error = FieldError(field="label", value=wrong[0], message="has no `=`", remedy="write it as key=value")
        raise invalid_request([error])
    return {key: value for key, _, value in pairs}


def _chosen(
    label: Annotated[list[str], Query(description="`key=value`; repeated, all must match")] = [],  # noqa: B006
    id: Annotated[list[UUID], Query(max_length=_MAX_IDS, description="repeated: these episodes only")] = [],  # noqa: A002, B006
    batch: Annotated[UUID | None, Query(description="of this batch only")] = None,
    since: Annotated[AwareDatetime | None, Query(description="accepted then or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="accepted before")] = None,
) -> store.Chosen:
    """Which of the caller's finished episodes; what is left out does not narrow it."""
    return store.Chosen(_labels(label), id, batch, since, until)


ChosenEpisodes = Annotated[store.Chosen, Depends(_chosen)]


@router.get("/exports/{kind}", response_class=StreamingResponse, summary="Export all finished episodes that match")
async def export_all(
    kind: ExportKind,
    filters: FilterQuery,
    caller: Reader,
    request: Request,
    which: ChosenEpisodes,
) -> StreamingResponse:
    """JSON Lines, oldest episode first. The same query on `/manifest` gives count and SHA-256."""
    return StreamingResponse(lines(kind, _pages(request, caller.owner, which), filters), media_type=_MEDIA_TYPE)


@router.get("/exports/{kind}/manifest", summary="Count, size and hash of an export")
async def describe_export(
    kind: ExportKind,
    filters: FilterQuery,
    caller: Reader,
    request: Request,
    which: ChosenEpisodes,
) -> dict[str, Any]:
    """What the export with the same query holds."""
    return await manifest(kind, _pages(request, caller.owner, which), filters)


@router.get(
    "/{job_id}/exports/{kind}",
    response_class=StreamingResponse,
    responses={404: problem_response("There is no such job, or it is not yours")},
    summary="Export one episode",
)
async def export_one(
    job_id: UUID, kind: ExportKind, filters: FilterQuery, caller: Reader, session: SessionDependency
) -> StreamingResponse:
    """JSON Lines; empty while the episode runs, and where nothing passes the filters."""
    await session.run_sync(queries.get, "codetree", caller.owner, job_id)
    found = await session.run_sync(store.finished, [job_id])

    async def only() -> AsyncIterator[Sequence[Finished]]:
        yield found

    return StreamingResponse(lines(kind, only(), filters), media_type=_MEDIA_TYPE)


async def _pages(request: Request, owner: str, which: store.Chosen) -> AsyncIterator[Sequence[Finished]]:
    """Finished episodes, oldest first; every page is a transaction of its own."""
    after: UUID | None = None
    while True:
        async with async_transaction(state_of(request).engine) as session:
            ids = await session.run_sync(store.finished_ids, owner, which, after, _PAGE)
            page = await session.run_sync(store.finished, ids)
        if not ids:
            return
        yield page
        after = ids[-1]

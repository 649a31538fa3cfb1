"""The endpoints of batches, the same for every service that has jobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from kit import audit
from kit.auth import Principal
from kit.batches import store
from kit.batches.acceptance import Acceptance
from kit.batches.lines import Line, Parse, Parsed, Received, parsed_ahead, split_lines
from kit.batches.rehearsal import Rehearsal
from kit.batches.views import PREFIX, BatchList, BatchReport, BatchView, entity_tag, report, summary, view
from kit.db import async_transaction
from kit.jobs.models import Batch, Job
from kit.jobs.web.dependencies import SessionDependency, state_of
from kit.jobs.web.submission import JobHeaders
from kit.paging import PageQuery
from kit.problems import FieldError, Problem, invalid_request
from kit.web.app import problem_response
from kit.web.caller import actor_of, require
from kit.web.conditional import NOT_CHANGED, IfNoneMatch, not_modified

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

    from kit.settings import JobSettings

_RESULTS_AT_ONCE = 100
_MAX_WAIT_SECONDS = 60
_POLL_SECONDS = 0.25
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: problem_response("There is no such batch, or it is not yours")}
_BODY = {
    "required": True,
    "content": {
        "application/x-ndjson": {"schema": {"type": "string", "description": "One request body a line."}},
        "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
    },
}


@dataclass(frozen=True, slots=True)
class BatchLines:
    """What a service does with a line: make it a submission, know finished results, write rows of its own."""

    parse: Callable[[Request, Principal], Parse]
    computed: Callable[[Session, Collection[str]], Collection[str]]
    register: Callable[[Session, Sequence[tuple[UUID, Line]]], None]
    views: Callable[[Session, Sequence[Job]], list[Any]]


def batch_router(*, service: str, scope: str, lines: BatchLines) -> APIRouter:
    """POST /batches and what belongs to it."""
    router = APIRouter(prefix=PREFIX, tags=["batches"])
    reader = Depends(require(f"{scope}:read"))
    writer = Depends(require(f"{scope}:write"))

    async def owned_batch(batch_id: UUID, request: Request, caller: Principal = reader) -> Batch:
        async with async_transaction(state_of(request).engine) as session:
            return await session.run_sync(store.get, service, caller.owner, batch_id)

    owned = Depends(owned_batch)

    @router.post(
        "",
        status_code=202,
        summary="Submit many requests",
        openapi_extra={"requestBody": _BODY},
        responses={415: problem_response("The body is neither NDJSON nor a JSON array")},
    )
    async def create_batch(
        request: Request,
        response: Response,
        headers: JobHeaders,
        validate_only: Annotated[
            bool,
            Query(description="Report what would be accepted, repeated and refused, quotas aside; accept nothing."),
        ] = False,
        caller: Principal = writer,
    ) -> BatchReport:
        """Accept a request a line (NDJSON) or an array of them; each may have an `external_id`, `labels`, `priority`.

        A line that is wrong is reported and does not hold up the others. The same batch sent again makes no new jobs
        where lines have an `external_id`; under an `Idempotency-Key` it is the same batch.
        """
        state = state_of(request)
        received = await _read(request, state.settings, headers.idempotency_key)
        ahead = parsed_ahead(received.raws, lines.parse(request, caller))
        if validate_only:
            return await _rehearse(state.engine, ahead)
        acceptance = Acceptance(service, actor_of(request, caller), lines.computed, lines.register)
        batch = await _accept(state.engine, acceptance, received, ahead)
        response.headers["Location"] = f"{PREFIX}/{batch.id}"
        return report(batch)

    @router.get("", summary="List batches, the newest first")
    async def list_batches(
        query: Annotated[PageQuery, Query()], session: SessionDependency, caller: Principal = reader
    ) -> BatchList:
        rows, following = await session.run_sync(store.page, service, caller.owner, query)
        return BatchList(items=[summary(batch) for batch in rows], next_cursor=following)

    @router.get("/{batch_id}", responses=_NOT_FOUND | NOT_CHANGED, summary="Read a batch, or wait for its end")  # noqa: FAST003
    async def read_batch(
        request: Request,
        response: Response,
        wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for the end.")] = 0,
        if_none_match: IfNoneMatch = None,
        batch: Batch = owned,
    ) -> BatchView:
        deadline = asyncio.get_running_loop().time() + wait
        state = state_of(request)
        while True:
            async with async_transaction(state.engine) as session:
                batch = await session.get_one(Batch, batch.id)
                counted = await session.run_sync(store.counts, batch.id)
            if batch.finished_at is not None or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        response.headers["ETag"] = entity_tag(batch)
        if (unchanged := not_modified(entity_tag(batch), if_none_match)) is not None:
            return unchanged  # type: ignore[return-value]
        return view(batch, counted)

    @router.get(
        "/{batch_id}/results",  # noqa: FAST003 - `owned_batch` reads it
        response_class=StreamingResponse,
        responses={**_NOT_FOUND, 200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}},
        summary="The ended jobs of a batch as JSON Lines, in the order of their ends",
    )
    async def read_results(
        request: Request,
        since: Annotated[int, Query(ge=0, le=2**31 - 1, description="The `cursor` of the last line seen.")] = 0,
        batch: Batch = owned,
    ) -> StreamingResponse:
        """Each line is `{"cursor": ..., "job": {...}}`. What ends later is had by asking again with `since`."""
        stream = _results(state_of(request).engine, lines, batch.id, since)
        return StreamingResponse(stream, media_type="application/jsonl")

    _add_cancel(router, service, writer)
    return router


def _add_cancel(router: APIRouter, service: str, writer: Principal) -> None:
    @router.post("/{batch_id}/cancel", status_code=202, responses=_NOT_FOUND, summary="Cancel every job of a batch")
    async def cancel_batch(
        batch_id: UUID, request: Request, session: SessionDependency, caller: Principal = writer
    ) -> BatchView:
        """Jobs that have ended keep their results; a second call changes nothing."""
        batch = await session.run_sync(store.get, service, caller.owner, batch_id)
        await session.run_sync(store.request_cancel, batch_id)
        target = f"{service} batch {batch_id}"
        await session.run_sync(audit.record, actor_of(request, caller), "batch.cancel", target)
        await session.refresh(batch)
        return view(batch, await session.run_sync(store.counts, batch_id))


async def _rehearse(engine: AsyncEngine, ahead: AsyncIterator[Parsed]) -> BatchReport:
    rehearsal = Rehearsal()
    async for parsed in ahead:
        async with async_transaction(engine) as session:
            await session.run_sync(rehearsal.add, parsed)
    return rehearsal.report()


async def _accept(
    engine: AsyncEngine, acceptance: Acceptance, received: Received, ahead: AsyncIterator[Parsed]
) -> Batch:
    async with async_transaction(engine) as session:
        if await session.run_sync(acceptance.begin, received):
            async for parsed in ahead:
                await session.run_sync(acceptance.add, parsed)
            await session.run_sync(acceptance.end)
    return acceptance.batch


async def _read(request: Request, settings: JobSettings, idempotency_key: str | None) -> Received:
    """The whole body: no transaction waits for a slow sender."""
    digest = hashlib.sha256()
    raws: list[Any] = []
    async for raw in _raw_lines(request):
        if len(raws) == settings.batch_max_lines:
            raise _too_many(settings.batch_max_lines)
        raws.append(raw)
        digest.update(raw if isinstance(raw, bytes) else json.dumps(raw, sort_keys=True).encode())
    if all(raw == b"" for raw in raws):
        raise invalid_request([FieldError(field="body", message="has no lines", remedy="send one request a line")])
    return Received(raws, digest.hexdigest(), idempotency_key)


async def _raw_lines(request: Request) -> AsyncIterator[Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in {"application/x-ndjson", "application/jsonl", "application/ndjson"}:
        async for line in split_lines(request.stream()):
            yield line
        return
    if media_type != "application/json":
        detail = "Send Content-Type: application/x-ndjson (one request a line) or application/json (an array)."
        raise Problem(415, "unsupported-media-type", "Unsupported media type", detail)
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Problem(400, "bad-request", "Bad request", "The body is not well-formed JSON.") from error
    if not isinstance(body, list):
        raise invalid_request([FieldError(field="body", message="is not an array", remedy="send an array of requests")])
    for item in body:
        yield item


def _too_many(limit: int) -> Problem:
    error = FieldError(field="body", message=f"has more than {limit} lines", remedy="send several batches")
    return Problem(413, "body-too-large", "The batch is too large", error.message, errors=[error])


async def _results(engine: AsyncEngine, lines: BatchLines, batch_id: UUID, since: int) -> AsyncIterator[str]:
    while True:
        async with async_transaction(engine) as session:
            jobs = await session.run_sync(store.ended, batch_id, since, _RESULTS_AT_ONCE)
            views = await session.run_sync(lines.views, jobs)
        for job, answer in zip(jobs, views, strict=True):
            since = job.batch_seq or since
            yield f'{{"cursor":"{since}","job":{answer.model_dump_json()}}}\n'
        if len(jobs) < _RESULTS_AT_ONCE:
            return

"""The endpoints every kind of job has: list, read (and wait), events, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import Field

from kit import audit
from kit.auth import Principal
from kit.db import async_transaction
from kit.jobs import queries, transitions
from kit.jobs.models import Job
from kit.jobs.queries import JobFilter
from kit.jobs.states import JobStatus
from kit.jobs.views import JobList, JobView, entity_tag, job_fields
from kit.jobs.web.dependencies import JobServiceState, SessionDependency, state_of
from kit.jobs.web.following import POLL_SECONDS, wait
from kit.paging import PageQuery
from kit.problems import FieldError, invalid_request
from kit.web.app import problem_response
from kit.web.caller import actor_of, require
from kit.web.conditional import NOT_CHANGED, IfNoneMatch, not_modified
from kit.webhooks import store as deliveries
from kit.webhooks.views import DeliveryView

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Views = Callable[["Session", Sequence[Job]], list[Any]]
"""Renders jobs as the service's own view, with one query for what all of them answer."""

_MAX_WAIT_SECONDS = 60
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: problem_response("There is no such job, or it is not yours")}


class _ListQuery(PageQuery):
    """How to list jobs."""

    status: list[JobStatus] = Field(default=[], description="May be repeated.")
    label: list[str] = Field(default=[], description="`key=value`; repeated, all must match.", examples=[["team=nlp"]])
    external_id: str | None = Field(default=None, max_length=255, description="The job that has this id of yours.")
    sort: Literal["created_at", "-created_at"] = "-created_at"


def job_router(*, service: str, prefix: str, noun: str, scope: str, view: type[JobView], views: Views) -> APIRouter:
    """The common endpoints of ``service``'s jobs under ``prefix``."""
    router = APIRouter(prefix=prefix, tags=[noun])
    # Defaults, not annotations: FastAPI could not resolve names that are local to this function.
    reader = Depends(require(f"{scope}:read"))
    writer = Depends(require(f"{scope}:write"))

    async def owned_job(job_id: UUID, request: Request, caller: Principal = reader) -> Job:
        async with async_transaction(state_of(request).engine) as session:
            return await session.run_sync(queries.get, service, caller.owner, job_id)

    owned = Depends(owned_job)

    @router.get("", summary=f"List {noun}")
    async def list_jobs(
        query: Annotated[_ListQuery, Query()], session: SessionDependency, caller: Principal = reader
    ) -> JobList:
        newest_first = query.sort == "-created_at"
        labels = _labels(query.label)
        chosen = JobFilter(service, caller.owner, query.status, labels, query.external_id, newest_first)
        rows, following = await session.run_sync(queries.page, chosen, query)
        return JobList(items=[JobView(**job_fields(job, prefix)) for job in rows], next_cursor=following)

    @router.get(
        "/{job_id}",  # noqa: FAST003 - `owned_job` reads it
        response_model=view,
        responses=_NOT_FOUND | NOT_CHANGED,
        summary="Read a job, or wait for its end",
    )
    async def read_job(
        request: Request,
        response: Response,
        wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for the end.")] = 0,
        if_none_match: IfNoneMatch = None,
        job: Job = owned,
    ) -> Any:
        state = state_of(request)
        if wait:
            job = await _until_ended(state, job, wait)
        response.headers["ETag"] = entity_tag(job)
        if (unchanged := not_modified(entity_tag(job), if_none_match)) is not None:
            return unchanged
        async with async_transaction(state.engine) as session:
            return (await session.run_sync(views, [job]))[0]

    @router.get(
        "/{job_id}/events",  # noqa: FAST003 - `owned_job` reads it
        response_class=EventSourceResponse,
        responses=_NOT_FOUND,
        summary="Follow a job as server-sent events; `Last-Event-ID` resumes",
    )
    async def follow_job(
        request: Request,
        last_event_id: Annotated[int, Header(ge=0, le=2**31 - 1, description="The last event seen.")] = 0,
        job: Job = owned,
    ) -> AsyncIterator[ServerSentEvent]:
        async for event in state_of(request).following.follow(job.id, last_event_id):
            yield event

    @router.post("/{job_id}/cancel", status_code=202, responses={**_NOT_FOUND, 409: problem_response("It has ended")})
    async def cancel_job(
        job_id: UUID, request: Request, session: SessionDependency, response: Response, caller: Principal = writer
    ) -> JobView:
        """Stop a job. While a worker holds it the answer says `cancelling`; a second call changes nothing."""
        job = await session.run_sync(queries.get, service, caller.owner, job_id)
        status = await session.run_sync(transitions.cancel, job_id)
        await session.run_sync(
            audit.record, actor_of(request, caller), "job.cancel", f"{service} job {job_id}", str(status)
        )
        await session.refresh(job)
        response.headers["Location"] = f"{prefix}/{job_id}"
        return JobView(**job_fields(job, prefix))

    _add_deliveries(router, owned_job, service, writer)
    return router


def _add_deliveries(
    router: APIRouter, owned_job: Callable[..., Awaitable[Job]], service: str, writer: Principal
) -> None:
    owned = Depends(owned_job)

    @router.get("/{job_id}/deliveries", responses=_NOT_FOUND, summary="The webhook deliveries of a job")  # noqa: FAST003
    async def list_deliveries(session: SessionDependency, job: Job = owned) -> list[DeliveryView]:
        found = await session.run_sync(deliveries.deliveries, job.id)
        return [DeliveryView.model_validate(delivery) for delivery in found]

    @router.post(
        "/{job_id}/deliveries/{delivery_id}/redeliver",
        status_code=202,
        responses=_NOT_FOUND,
        summary="Send a delivery again, whatever became of it",
    )
    async def redeliver(
        job_id: UUID, delivery_id: UUID, request: Request, session: SessionDependency, caller: Principal = writer
    ) -> DeliveryView:
        await session.run_sync(queries.get, service, caller.owner, job_id)
        target = f"delivery {delivery_id} of {service} job {job_id}"
        await session.run_sync(audit.record, actor_of(request, caller), "webhook.redeliver", target)
        return DeliveryView.model_validate(await session.run_sync(deliveries.redeliver, job_id, delivery_id))


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [label.partition("=") for label in given]
    if wrong := [label for label, (_, equals, _) in zip(given, pairs, strict=True) if not equals]:
        error = FieldError(field="label", value=wrong[0], message="has no `=`", remedy="write it as key=value")
        raise invalid_request([error])
    return {key: value for key, _, value in pairs}


async def _until_ended(state: JobServiceState, job: Job, wait_seconds: float) -> Job:
    """The job when it has ended, or as it stands after ``wait_seconds``."""
    deadline = asyncio.get_running_loop().time() + wait_seconds
    with state.listener.subscribe(job.id) as changed:
        while True:
            changed.clear()
            async with async_transaction(state.engine) as session:
                job = await session.get_one(Job, job.id)
            left_seconds = deadline - asyncio.get_running_loop().time()
            if JobStatus(job.status).is_terminal or left_seconds <= 0:
                return job
            await wait(changed, min(left_seconds, POLL_SECONDS))

"""The asynchronous client: the same operations, performed with await."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from astrolabe.calls import EPISODES, PLANS, JobKind, JobQuery
from astrolabe.config import Config
from astrolabe.follow import Follower
from astrolabe.job import JobHandle
from astrolabe.models import JobState
from astrolabe.operations import Operations
from astrolabe.retry import RetryPolicy
from astrolabe.transport import client_options, request_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from astrolabe.episodes import Episode
    from astrolabe.models import Event
    from astrolabe.operations import Operation, Snapshot, Step
    from astrolabe.plans import Estimate, Plan
    from astrolabe.retry import Outcome

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT", bound=JobState)
StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class AsyncJob(JobHandle[StateT_co]):
    """A job and the last that is known of it; its methods ask the service."""

    def __init__(self, client: AsyncClient, kind: JobKind[StateT_co], snapshot: Snapshot[StateT_co]) -> None:
        super().__init__(kind, snapshot)
        self._client = client

    async def refresh(self) -> StateT_co:
        """The job as it stands now."""
        self.snapshot = await self._client.run(self._client.operations.read(self.kind, self.id))
        return self.state

    async def wait(self, timeout_seconds: float | None = None) -> StateT_co:
        """The job with its result. Raises ``JobFailedError``, ``JobCancelledError`` or ``WaitTimeoutError``."""
        self.snapshot = await self._client.run(self._client.operations.wait(self.kind, self.id, timeout_seconds))
        return self.result()

    def events(self, last_event_id: int = 0) -> AsyncIterator[Event]:
        """The events after number ``last_event_id``, as they happen, until the job has ended."""
        return self._client.events(self, last_event_id)

    async def cancel(self) -> JobState:
        """Stop the job. Raises ``ApiProblem`` 409 when it has ended."""
        return await self._client.cancel(self)


class AsyncClient:
    """``Client`` with await: see there. Bound any call or iteration in time with ``asyncio.timeout``."""

    def __init__(
        self,
        *,
        planner_url: str | None = None,
        codetree_url: str | None = None,
        api_key: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.config = Config.resolve(planner_url=planner_url, codetree_url=codetree_url, api_key=api_key)
        self.operations = Operations(self.config, retry or RetryPolicy())
        self._http = httpx.AsyncClient(**client_options(self.config))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def plan(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> AsyncJob[Plan]:
        """Search for the best strategies: the body of POST /plans. The key (made if not given) makes retries safe."""
        return AsyncJob(self, PLANS, await self.run(self.operations.submit(PLANS, request, idempotency_key)))

    async def solve(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> AsyncJob[Episode]:
        """Solve a task by programs: the body of POST /solve. The key (made if not given) makes retries safe."""
        return AsyncJob(self, EPISODES, await self.run(self.operations.submit(EPISODES, request, idempotency_key)))

    async def estimate(self, request: Mapping[str, object]) -> tuple[Estimate, ...]:
        """Price given strategies: the body of POST /estimates. One estimate for each, in their order."""
        return (await self.run(self.operations.estimate(request)))[0]

    async def job(self, kind: JobKind[StateT], job_id: str) -> AsyncJob[StateT]:
        """The job with this id; ``kind`` is ``PLANS`` or ``EPISODES``."""
        return AsyncJob(self, kind, await self.run(self.operations.read(kind, job_id)))

    async def jobs(self, kind: JobKind[StateT], query: JobQuery | None = None) -> AsyncIterator[JobState]:
        """All jobs that match, page after page; they carry no results."""
        cursor = None
        while True:
            page = await self.run(self.operations.page(kind, query or JobQuery(), cursor))
            for state in page.items:
                yield state
            if (cursor := page.next_cursor) is None:
                return

    async def cancel(self, job: JobHandle[StateT]) -> JobState:
        """Stop a job. Raises ``ApiProblem`` 409 when it has ended."""
        return (await self.run(self.operations.cancel(job.kind, job.id))).state

    async def events(self, job: JobHandle[StateT], last_event_id: int = 0) -> AsyncIterator[Event]:
        """The job's events after number ``last_event_id`` until it has ended; cut connections are taken up again."""
        follower = Follower(self.operations, job.kind, job.id, last_event_id)
        while True:
            await asyncio.sleep(follower.pause_seconds)
            try:
                async with self._http.stream(**request_options(self.config, follower.call)) as response:
                    if not response.is_success:
                        await response.aread()
                    if not follower.accept(response):
                        continue
                    async for chunk in response.aiter_bytes():
                        for event in follower.feed(chunk):
                            yield event
                        if follower.ended:
                            return
            except httpx.RequestError as error:
                follower.lost(error)
            else:
                follower.closed()
            if follower.doubtful and (await self.run(self.operations.read(job.kind, job.id))).state.ended:
                return

    async def run(self, operation: Operation[ResultT]) -> ResultT:
        """Perform an operation."""
        try:
            step = next(operation)
            while True:
                step = operation.send(await self._perform(step))
        except StopIteration as end:
            result: ResultT = end.value
            return result

    async def _perform(self, step: Step) -> Outcome:
        await asyncio.sleep(step.after_seconds)
        options: dict[str, Any] = request_options(self.config, step.call)
        try:
            return await self._http.request(**options)
        except httpx.RequestError as error:
            return error

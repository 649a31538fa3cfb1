"""The synchronous client."""

from __future__ import annotations

import time
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
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from astrolabe.episodes import Episode
    from astrolabe.models import Event
    from astrolabe.operations import Operation, Snapshot, Step
    from astrolabe.plans import Estimate, Plan
    from astrolabe.retry import Outcome

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT", bound=JobState)
StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class Job(JobHandle[StateT_co]):
    """A job and the last that is known of it; its methods ask the service."""

    def __init__(self, client: Client, kind: JobKind[StateT_co], snapshot: Snapshot[StateT_co]) -> None:
        super().__init__(kind, snapshot)
        self._client = client

    def refresh(self) -> StateT_co:
        """The job as it stands now."""
        self.snapshot = self._client.run(self._client.operations.read(self.kind, self.id))
        return self.state

    def wait(self, timeout_seconds: float | None = None) -> StateT_co:
        """The job with its result. Raises ``JobFailedError``, ``JobCancelledError`` or ``WaitTimeoutError``."""
        self.snapshot = self._client.run(self._client.operations.wait(self.kind, self.id, timeout_seconds))
        return self.result()

    def events(self, last_event_id: int = 0) -> Iterator[Event]:
        """The events after number ``last_event_id``, as they happen, until the job has ended."""
        return self._client.events(self, last_event_id)

    def cancel(self) -> JobState:
        """Stop the job. Raises ``ApiProblem`` 409 when it has ended."""
        return self._client.cancel(self)


class Client:
    """Planner and codetree over HTTP. Addresses and key come from the arguments, else from the environment.

    Every method raises ``ApiProblem`` for what a service refuses, ``ServiceUnreachableError`` when none answers and
    ``UnexpectedResponseError`` when something else does. Not to be shared between threads while it is being closed.
    """

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
        self._http = httpx.Client(**client_options(self.config))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def plan(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> Job[Plan]:
        """Search for the best strategies: the body of POST /plans. The key (made if not given) makes retries safe."""
        return Job(self, PLANS, self.run(self.operations.submit(PLANS, request, idempotency_key)))

    def solve(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> Job[Episode]:
        """Solve a task by programs: the body of POST /solve. The key (made if not given) makes retries safe."""
        return Job(self, EPISODES, self.run(self.operations.submit(EPISODES, request, idempotency_key)))

    def estimate(self, request: Mapping[str, object]) -> tuple[Estimate, ...]:
        """Price given strategies: the body of POST /estimates. One estimate for each, in their order."""
        return self.run(self.operations.estimate(request))[0]

    def job(self, kind: JobKind[StateT], job_id: str) -> Job[StateT]:
        """The job with this id; ``kind`` is ``PLANS`` or ``EPISODES``."""
        return Job(self, kind, self.run(self.operations.read(kind, job_id)))

    def jobs(self, kind: JobKind[StateT], query: JobQuery | None = None) -> Iterator[JobState]:
        """All jobs that match, page after page; they carry no results."""
        cursor = None
        while True:
            page = self.run(self.operations.page(kind, query or JobQuery(), cursor))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def cancel(self, job: JobHandle[StateT]) -> JobState:
        """Stop a job. Raises ``ApiProblem`` 409 when it has ended."""
        return self.run(self.operations.cancel(job.kind, job.id)).state

    def events(self, job: JobHandle[StateT], last_event_id: int = 0) -> Iterator[Event]:
        """The job's events after number ``last_event_id`` until it has ended; cut connections are taken up again."""
        follower = Follower(self.operations, job.kind, job.id, last_event_id)
        while True:
            time.sleep(follower.pause_seconds)
            try:
                with self._http.stream(**request_options(self.config, follower.call)) as response:
                    if not response.is_success:
                        response.read()
                    if not follower.accept(response):
                        continue
                    for chunk in response.iter_bytes():
                        yield from follower.feed(chunk)
                        if follower.ended:
                            return
            except httpx.RequestError as error:
                follower.lost(error)
            else:
                follower.closed()
            if follower.doubtful and self.run(self.operations.read(job.kind, job.id)).state.ended:
                return

    def run(self, operation: Operation[ResultT]) -> ResultT:
        """Perform an operation."""
        try:
            step = next(operation)
            while True:
                step = operation.send(self._perform(step))
        except StopIteration as end:
            result: ResultT = end.value
            return result

    def _perform(self, step: Step) -> Outcome:
        time.sleep(step.after_seconds)
        options: dict[str, Any] = request_options(self.config, step.call)
        try:
            return self._http.request(**options)
        except httpx.RequestError as error:
            return error

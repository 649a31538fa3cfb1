"""The synchronous client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from astrolabe import calibrations, exports
from astrolabe.batches import operations as batch_operations
from astrolabe.batches.handles import Submission
from astrolabe.batches.operations import ignore
from astrolabe.batches.reader import ResultReader
from astrolabe.batches.sync_batch import Batch
from astrolabe.calls import EPISODES, PLANS, JobKind, JobQuery
from astrolabe.config import Config
from astrolabe.follow import Follower
from astrolabe.job import JobHandle
from astrolabe.models import Answered, JobState
from astrolabe.operations import Operations
from astrolabe.retry import RetryPolicy
from astrolabe.transport import client_options, request_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from astrolabe.batches.handles import BatchHandle
    from astrolabe.batches.lines import Line
    from astrolabe.batches.models import BatchReceipt, BatchResult
    from astrolabe.calibrations import Calibration
    from astrolabe.catalog import CatalogPart
    from astrolabe.episodes import Episode
    from astrolabe.exports import Export, ExportFormat
    from astrolabe.models import Event
    from astrolabe.operations import Operation, Snapshot, Step
    from astrolabe.plans import Estimate, Plan
    from astrolabe.retry import Outcome

ResultT = TypeVar("ResultT")
EntryT = TypeVar("EntryT", bound=Answered)
StateT = TypeVar("StateT", bound=JobState)
StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class Job(JobHandle[StateT_co]):
    """A job and the last that is known of it; its methods ask the service."""

    def __init__(self, client: Client, kind: JobKind[StateT_co], snapshot: Snapshot[StateT_co]) -> None:
        super().__init__(kind, snapshot)
        self._client = client

    def refresh(self) -> StateT_co:
        """The job as it stands now."""
        self.snapshot = self._client.run(self._client.operations.read(self.kind, self.id, self.snapshot))
        return self.state

    def wait(self, timeout_seconds: float | None = None) -> StateT_co:
        """The job with its result. Raises ``JobFailedError``, ``JobCancelledError`` or ``WaitTimeoutError``."""
        operation = self._client.operations.wait(self.kind, self.id, timeout_seconds, self.snapshot)
        self.snapshot = self._client.run(operation)
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

    def submit_many(
        self,
        kind: JobKind[StateT],
        requests: Iterable[Line],
        *,
        validate_only: bool = False,
        idempotency_key: str | None = None,
        on_receipt: Callable[[BatchReceipt], None] = ignore,
    ) -> Submission[Batch[StateT]]:
        """Ask for many jobs, in as few batches as their size allows; ``on_receipt`` is told of each when accepted.

        Each request has an ``external_id`` of its own, under which it is done once: what was cut short is finished by
        submitting it again. Refused lines are in ``rejections`` and stop no other. ``validate_only`` starts nothing.
        Under the same ``idempotency_key`` the same requests are the same batches, rather than new ones of duplicates.
        """
        operation = batch_operations.submit_many(
            self.operations,
            kind.service,
            requests,
            validate_only=validate_only,
            idempotency_key=idempotency_key,
            on_receipt=on_receipt,
        )
        receipts = self.run(operation)
        batches = tuple(Batch(self, kind, receipt.id) for receipt in receipts if receipt.id is not None)
        return Submission(receipts, batches)

    def batch(self, kind: JobKind[StateT], batch_id: str) -> Batch[StateT]:
        """The batch with this id; ``kind`` is ``PLANS`` or ``EPISODES``."""
        operation = batch_operations.read(self.operations, kind.service, batch_id)
        return Batch(self, kind, batch_id, self.run(operation))

    def batch_results(
        self, batch: BatchHandle[StateT], since: str | None = None, *, follow: bool = True
    ) -> Iterator[BatchResult[StateT]]:
        """What ``Batch.results`` gives."""
        reader = ResultReader(self.operations, batch.kind, batch.id, since, follow=follow)
        while not reader.ended:
            if look := reader.look():
                reader.seen(self.run(look))
            time.sleep(reader.pause_seconds)
            try:
                with self._http.stream(**request_options(self.config, reader.call)) as response:
                    if not response.is_success:
                        response.read()
                    if not reader.accept(response):
                        continue
                    for chunk in response.iter_bytes():
                        yield from reader.feed(chunk)
                    yield from reader.closed()
            except httpx.RequestError as error:
                reader.lost(error)

    def catalog(self, part: CatalogPart[EntryT]) -> tuple[EntryT, ...]:
        """Every entry of a part of the planner's catalogue: ``GPUS``, ``MODELS`` or ``PRICES``."""
        return self.run(self.operations.catalog(part))

    def calibrate(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> Calibration:
        """Fit the cost model to measured runs: the body of POST /calibrations. The key makes retries safe."""
        return self.run(calibrations.create(self.operations, request, idempotency_key)).state

    def calibration(self, calibration_id: str) -> Calibration:
        """The calibration with this id."""
        return self.run(calibrations.read(self.operations, calibration_id)).state

    def calibrations(self) -> Iterator[Calibration]:
        """All calibrations of yours, the newest first, page after page."""
        cursor = None
        while True:
            page, _ = self.run(calibrations.page(self.operations, cursor))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def delete_calibration(self, calibration_id: str) -> None:
        """Forget a calibration: plans that named it stand, nothing can name it any more."""
        self.run(calibrations.delete(self.operations, calibration_id))

    def export(self, job_id: str, export_format: ExportFormat | str, *, rank: int = 1) -> Export:
        """A finished plan's candidate (1 is the best) as the file of who will run it."""
        return self.run(exports.read(self.operations, job_id, export_format, rank))

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

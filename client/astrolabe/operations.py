"""What the client does, without doing it: each operation is a generator that yields requests and is sent outcomes.

The synchronous and the asynchronous client differ only in how they perform a ``Step``.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import httpx

from astrolabe import calls
from astrolabe.errors import AstrolabeError, ServiceUnreachableError, WaitTimeoutError
from astrolabe.models import Answered, JobPage, JobState
from astrolabe.plans import EstimateReply
from astrolabe.replies import problem_of, read_list, read_model
from astrolabe.retry import Outcome, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astrolabe.calls import Call, JobKind, JobQuery
    from astrolabe.catalog import CatalogPart
    from astrolabe.config import Config, Service
    from astrolabe.plans import Estimate

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT", bound=JobState)
AnsweredT = TypeVar("AnsweredT", bound=Answered)
AnsweredT_co = TypeVar("AnsweredT_co", bound=Answered, covariant=True)


@dataclass(frozen=True, slots=True)
class Step:
    """Perform ``call`` after a pause."""

    call: Call
    after_seconds: float = 0.0


Operation: TypeAlias = Generator[Step, Outcome, ResultT]
"""Yields steps, is sent what came of each, returns the result or raises an ``AstrolabeError``."""


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[AnsweredT_co]):
    """A job or batch at one moment: as a model, as the JSON object the service sent, and the name of that version."""

    state: AnsweredT_co
    raw: dict[str, Any]
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of a client with this configuration."""

    config: Config
    retry: RetryPolicy
    clock: Callable[[], float] = time.monotonic

    def submit(
        self, kind: JobKind[StateT], request: Mapping[str, object], idempotency_key: str | None
    ) -> Operation[Snapshot[StateT]]:
        """Ask for a job; sent again under the same key when the answer is lost."""
        return self.snapshot(kind.service, kind.state, calls.submit(kind, request, idempotency_key))

    def read(
        self, kind: JobKind[StateT], job_id: str, known: Snapshot[StateT] | None = None
    ) -> Operation[Snapshot[StateT]]:
        """The job as it stands; sent only when it is not as ``known``."""
        call = calls.read_job(kind, job_id, etag=known.etag if known else None)
        return self.snapshot(kind.service, kind.state, call, known=known)

    def cancel(self, kind: JobKind[StateT], job_id: str) -> Operation[Snapshot[JobState]]:
        """Stop a job; the answer holds no result. Raises ``ApiProblem`` 409 when it has ended."""
        response = yield from self.exchange(calls.cancel_job(kind, job_id))
        return Snapshot(*read_model(kind.service, response, JobState))

    def wait(
        self,
        kind: JobKind[StateT],
        job_id: str,
        timeout_seconds: float | None,
        known: Snapshot[StateT] | None = None,
    ) -> Operation[Snapshot[StateT]]:
        """The job when it has ended, however. Raises ``WaitTimeoutError``. While it is as ``known`` it is not sent."""
        deadline = math.inf if timeout_seconds is None else self.clock() + timeout_seconds
        while True:
            left_seconds = deadline - self.clock()
            call = calls.read_job(kind, job_id, wait_seconds=left_seconds, etag=known.etag if known else None)
            known = yield from self.snapshot(kind.service, kind.state, call, deadline, known)
            if known.state.ended:
                return known
            if left_seconds <= 0:
                raise WaitTimeoutError(job_id, timeout_seconds or 0.0)

    def page(self, kind: JobKind[StateT], query: JobQuery, cursor: str | None) -> Operation[JobPage[JobState]]:
        """One page of jobs, without their results."""
        response = yield from self.exchange(calls.list_jobs(kind, query, cursor))
        return read_model(kind.service, response, JobPage[JobState])[0]

    def estimate(self, request: Mapping[str, object]) -> Operation[tuple[tuple[Estimate, ...], dict[str, Any]]]:
        """The estimates, in the order of the strategies, and the JSON object they came in."""
        call = calls.estimate(request)
        response = yield from self.exchange(call)
        reply, raw = read_model(call.service, response, EstimateReply)
        return reply.estimates, raw

    def catalog(self, part: CatalogPart[AnsweredT]) -> Operation[tuple[AnsweredT, ...]]:
        """Every entry of a part of the planner's catalogue."""
        call = calls.read_catalog(part.name)
        response = yield from self.exchange(call)
        return read_list(call.service, response, part.entry)

    def error_of(self, call: Call, outcome: Outcome) -> AstrolabeError:
        """The error that an outcome which is not a success means."""
        if isinstance(outcome, httpx.Response):
            return problem_of(outcome)
        return ServiceUnreachableError(call.service, self.config.urls[call.service], _reason(outcome, call))

    def snapshot(
        self,
        service: Service,
        model: type[AnsweredT],
        call: Call,
        deadline: float = math.inf,
        known: Snapshot[AnsweredT] | None = None,
    ) -> Operation[Snapshot[AnsweredT]]:
        """What ``call`` answers as ``model``, or ``known`` when the service says that it has not changed."""
        response = yield from self.exchange(call, deadline)
        if known and response.status_code == HTTPStatus.NOT_MODIFIED:
            return known
        return Snapshot(*read_model(service, response, model), response.headers.get("ETag"))

    def exchange(self, call: Call, deadline: float = math.inf) -> Operation[httpx.Response]:
        """The response that answers ``call``, sent again while its outcome is transient and ``deadline`` allows."""
        step, attempt = Step(call), 1
        while True:
            outcome = yield step
            if isinstance(outcome, httpx.Response) and _answers(call, outcome):
                return outcome
            pause_seconds = self.retry.pause_seconds(attempt, outcome)
            if pause_seconds is None or self.clock() + pause_seconds > deadline:
                raise self.error_of(call, outcome)
            step, attempt = Step(call, pause_seconds), attempt + 1


def _answers(call: Call, response: httpx.Response) -> bool:
    unchanged = response.status_code == HTTPStatus.NOT_MODIFIED and "If-None-Match" in call.headers
    return response.is_success or unchanged


def _reason(error: httpx.RequestError, call: Call) -> str:
    """In a few words, and without what a library adds around the operating system's own."""
    if isinstance(error, httpx.ConnectTimeout):
        return "connecting takes too long"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {call.read_seconds:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return (os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)).lower()
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__

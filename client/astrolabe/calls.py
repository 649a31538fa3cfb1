"""The requests this client makes, as values: nothing here touches the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar
from urllib.parse import quote
from uuid import uuid4

from astrolabe.config import Service
from astrolabe.episodes import Episode
from astrolabe.models import JobState
from astrolabe.plans import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astrolabe.models import JobStatus

StateT = TypeVar("StateT", bound=JobState)
StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)

ANSWER_SECONDS = 30.0
"""How long any answer may take, beyond what a request itself asks to wait."""
SILENCE_SECONDS = 45.0
"""A stream of events that is silent for longer is taken to be cut: services send a comment every 15 s."""
LONGEST_WAIT_SECONDS = 60.0
"""The longest ``?wait=`` that services accept."""

Sort = Literal["created_at", "-created_at"]


@dataclass(frozen=True, slots=True)
class JobKind(Generic[StateT_co]):
    """A kind of job: which service does it, under which path, and what it answers."""

    service: Service
    path: str
    state: type[StateT_co]


PLANS: JobKind[Plan] = JobKind(Service.PLANNER, "/plans", Plan)
EPISODES: JobKind[Episode] = JobKind(Service.CODETREE, "/solve", Episode)
KINDS: tuple[JobKind[JobState], ...] = (PLANS, EPISODES)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, with a JSON ``body`` or ready ``content``. ``read_seconds`` may pass in silence."""

    service: Service
    method: Literal["GET", "POST", "DELETE"]
    path: str
    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    content: bytes | None = field(default=None, repr=False)
    read_seconds: float = ANSWER_SECONDS


def submit(kind: JobKind[StateT], request: Mapping[str, object], idempotency_key: str | None) -> Call:
    """Ask for a job. The key makes sending it again safe: the same key and body name the same job."""
    headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
    return Call(kind.service, "POST", kind.path, headers=headers, body=request)


def estimate(request: Mapping[str, object]) -> Call:
    """Price given strategies, at once."""
    return Call(Service.PLANNER, "POST", "/estimates", body=request)


def read_catalog(part: str) -> Call:
    """A part of the planner's catalogue."""
    return Call(Service.PLANNER, "GET", f"/catalog/{part}")


def read_job(kind: JobKind[StateT], job_id: str, wait_seconds: float = 0.0, etag: str | None = None) -> Call:
    """Read a job, as soon as it has ended or ``wait_seconds`` have passed; 304 when ``etag`` still names it."""
    return poll(kind.service, _path(kind, job_id), wait_seconds, etag)


def poll(service: Service, path: str, wait_seconds: float, etag: str | None) -> Call:
    """Read what ``?wait=`` and ``If-None-Match`` apply to."""
    wait_seconds = min(wait_seconds, LONGEST_WAIT_SECONDS)
    params = [("wait", f"{wait_seconds:.3f}")] if wait_seconds > 0 else []
    headers = {"If-None-Match": etag} if etag else {}
    return Call(service, "GET", path, params=params, headers=headers, read_seconds=ANSWER_SECONDS + wait_seconds)


def cancel_job(kind: JobKind[StateT], job_id: str) -> Call:
    """Stop a job."""
    return Call(kind.service, "POST", f"{_path(kind, job_id)}/cancel")


def follow_job(kind: JobKind[StateT], job_id: str, last_event_id: int) -> Call:
    """The job's events after number ``last_event_id``."""
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = str(last_event_id)
    return Call(kind.service, "GET", f"{_path(kind, job_id)}/events", headers=headers, read_seconds=SILENCE_SECONDS)


def _path(kind: JobKind[StateT], job_id: str) -> str:
    return f"{kind.path}/{quote(job_id, safe='')}"


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list: with any of ``statuses`` (all if none), every one of ``labels``, this ``external_id``."""

    statuses: Sequence[JobStatus | str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sort: Sort = "-created_at"
    page_size: int = 50
    external_id: str | None = None


def list_jobs(kind: JobKind[StateT], query: JobQuery, cursor: str | None) -> Call:
    """One page of jobs."""
    params = [("limit", str(query.page_size)), ("sort", query.sort)]
    params += [("status", str(status)) for status in query.statuses]
    params += [("label", f"{key}={value}") for key, value in query.labels.items()]
    if query.external_id is not None:
        params.append(("external_id", query.external_id))
    if cursor:
        params.append(("cursor", cursor))
    return Call(kind.service, "GET", kind.path, params=params)

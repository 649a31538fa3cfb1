"""What the services answer, as far as this client reads it. Fields it does not know are kept as extras."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue


def _none_is_empty(value: object) -> object:
    """Results are null until their job has ended; here they are then simply empty."""
    return () if value is None else value


ItemT = TypeVar("ItemT")
Many = Annotated[tuple[ItemT, ...], BeforeValidator(_none_is_empty)]


class Answered(BaseModel):
    """Tolerant of fields that a later service adds."""

    model_config = ConfigDict(extra="allow", frozen=True)


class JobStatus(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}


class Progress(Answered):
    """``completed`` of ``total`` ``unit`` are done in this ``phase``; ``total`` is None while it is not known."""

    phase: str
    completed: int
    total: int | None = None
    unit: str = ""


class FieldError(Answered):
    """One wrong field: its path in the request, what is wrong with it, the value it had, and the remedy."""

    field: str
    message: str
    value: JsonValue = None
    remedy: str | None = None


class JobError(Answered):
    """Why a job failed, in the terms of RFC 9457."""

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    errors: Many[FieldError] = ()


class JobState(Answered):
    """A job as its service describes it, without its result."""

    id: str
    status: JobStatus
    progress: Progress | None = None
    attempt: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    external_id: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: JobError | None = None
    links: dict[str, str] = Field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status.ended


class Event(Answered):
    """One event of a job. ``id`` numbers it within its job; ``data`` holds ``job_id``, ``at`` and more by type."""

    id: int
    type: str
    data: dict[str, JsonValue] = Field(default_factory=dict)

    @property
    def ends_job(self) -> bool:
        """Whether the job has ended and no event follows."""
        subject, _, what = self.type.partition(".")
        return subject == "job" and what in {"succeeded", "failed", "cancelled"}


StateT = TypeVar("StateT", bound=JobState)


class JobPage(Answered, Generic[StateT]):
    """One page of a list of jobs; ``next_cursor`` is None on the last."""

    items: Many[StateT]
    next_cursor: str | None = None

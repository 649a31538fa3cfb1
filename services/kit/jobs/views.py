"""What a caller sees of a job."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from kit.jobs.models import Job
from kit.jobs.states import JobStatus
from kit.problems import FieldError


class Progress(BaseModel):
    """How far the work has come: ``completed`` of ``total`` ``unit`` in this ``phase``."""

    phase: str = Field(examples=["cost"])
    completed: int = Field(examples=[12000])
    total: int | None = Field(examples=[48000])
    unit: str = Field(examples=["strategies"])


class JobError(BaseModel):
    """Why a job failed, in the terms of RFC 9457."""

    type: str
    title: str
    detail: str
    errors: list[FieldError] = []


class JobView(BaseModel):
    """A job's state. Services add what their jobs answer."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    status: JobStatus
    progress: Progress | None
    attempt: int
    labels: dict[str, str]
    external_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    links: dict[str, str] = Field(description="Where to read the job, its events, and how to cancel it.")


class JobList(BaseModel):
    """A page of jobs, and the cursor of the next one (null at the end)."""

    items: list[JobView]
    next_cursor: str | None


def job_fields(job: Job, prefix: str) -> dict[str, Any]:
    """The fields of ``JobView`` for ``job``, whose endpoints are under ``prefix``."""
    own = f"{prefix}/{job.id}"
    links = {"self": own, "events": f"{own}/events"}
    if not JobStatus(job.status).is_terminal:
        links["cancel"] = f"{own}/cancel"
    names = JobView.model_fields.keys() - {"links"}
    return {**{name: getattr(job, name) for name in names}, "links": links}


def entity_tag(job: Job) -> str:
    """The job's ETag: every change of a job is an event, so the number of events names the version."""
    return f'"{job.event_seq}"'

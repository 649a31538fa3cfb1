"""What a caller sees of a batch."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from kit.batches.lines import Rejection
from kit.jobs.models import Batch
from kit.jobs.states import JobStatus

PREFIX = "/batches"
BatchStatus = Literal["running", "cancelling", "finished"]


class BatchReport(BaseModel):
    """How the lines of a batch were received."""

    id: UUID | None = Field(description="null when the batch was only validated.")
    status: BatchStatus | None
    total: int = Field(description="Lines in the body.")
    accepted: int = Field(description="New jobs.")
    duplicates: int = Field(description="Lines whose external_id and request were sent before: the earlier job stands.")
    rejected: int
    rejections: list[Rejection]
    links: dict[str, str]
    created_at: datetime | None


class BatchSummary(BaseModel):
    """A batch and how many of its jobs have ended."""

    id: UUID
    status: BatchStatus
    total: int
    accepted: int
    duplicates: int
    rejected: int
    ended: int = Field(description="Jobs of the batch that have ended, of those accepted.")
    created_at: datetime
    finished_at: datetime | None
    links: dict[str, str]


class BatchView(BatchSummary):
    """A batch and how far its jobs are."""

    counts: dict[JobStatus, int] = Field(description="The batch's own jobs by state.")


class BatchList(BaseModel):
    """A page of batches, and the cursor of the next one (null at the end)."""

    items: list[BatchSummary]
    next_cursor: str | None


def status_of(batch: Batch) -> BatchStatus:
    """A batch has ended when each of its jobs has."""
    if batch.finished_at is not None:
        return "finished"
    return "cancelling" if batch.cancel_requested_at is not None else "running"


def links_of(batch: Batch) -> dict[str, str]:
    """Where to read the batch, its results, and how to cancel it."""
    own = f"{PREFIX}/{batch.id}"
    return {"self": own, "results": f"{own}/results", "cancel": f"{own}/cancel"}


def entity_tag(batch: Batch) -> str:
    """Changes whenever a job of the batch ends or the batch is cancelled; running jobs do not change it."""
    return f'"{batch.finished}-{status_of(batch)}"'


def report(batch: Batch) -> BatchReport:
    """The answer to an accepted batch."""
    return BatchReport(
        id=batch.id,
        status=status_of(batch),
        total=batch.total,
        accepted=batch.accepted,
        duplicates=batch.duplicates,
        rejected=len(batch.rejections),
        rejections=[Rejection.model_validate(rejection) for rejection in batch.rejections],
        links=links_of(batch),
        created_at=batch.created_at,
    )


def view(batch: Batch, counts: dict[JobStatus, int]) -> BatchView:
    """The batch as it stands."""
    return BatchView(**summary(batch).model_dump(), counts=counts)


def summary(batch: Batch) -> BatchSummary:
    """The batch as its own row tells, without counting its jobs."""
    return BatchSummary(
        id=batch.id,
        status=status_of(batch),
        total=batch.total,
        accepted=batch.accepted,
        duplicates=batch.duplicates,
        rejected=len(batch.rejections),
        ended=batch.finished,
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        links=links_of(batch),
    )

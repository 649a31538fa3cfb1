"""What the services answer about batches."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pydantic import Field

from astrolabe.models import Answered, JobError, JobState, Many

StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class BatchStatus(StrEnum):
    """Where a batch is in its life."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    FINISHED = "finished"


class Rejection(Answered):
    """A line that became no job. ``line`` counts from 1 in what was handed to the client, empty lines included."""

    line: int
    external_id: str | None = None
    problem: JobError


class BatchReceipt(Answered):
    """What became of the lines of one batch. After mere validation there is no batch, and ``id`` is None.

    ``accepted`` lines became jobs; ``duplicates`` had become the same job before, under the same ``external_id``.
    """

    id: str | None = None
    total: int
    accepted: int
    duplicates: int = 0
    rejected: int = 0
    rejections: Many[Rejection] = ()
    links: dict[str, str] = Field(default_factory=dict)
    created_at: datetime | None = None


class BatchCounts(Answered):
    """How many of a batch's jobs are in each state."""

    queued: int = 0
    running: int = 0
    cancelling: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled


class BatchState(Answered):
    """A batch as its service describes it. It is finished when each of its ``accepted`` jobs has ended, however."""

    id: str
    status: BatchStatus
    total: int
    accepted: int
    duplicates: int = 0
    rejected: int = 0
    counts: BatchCounts
    created_at: datetime
    finished_at: datetime | None = None
    links: dict[str, str] = Field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status is BatchStatus.FINISHED


class BatchResult(Answered, Generic[StateT_co]):
    """A job of a batch that has ended, however. ``cursor`` names its place: results after it are yet to be read."""

    cursor: str
    job: StateT_co

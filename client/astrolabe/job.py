"""What a handle on a job knows, whichever client made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from astrolabe.errors import JobCancelledError, JobFailedError
from astrolabe.models import JobState, JobStatus

if TYPE_CHECKING:
    from astrolabe.calls import JobKind
    from astrolabe.operations import Snapshot

StateT = TypeVar("StateT", bound=JobState)


class JobHandle(Generic[StateT]):
    """A job and the last that is known of it."""

    def __init__(self, kind: JobKind[StateT], snapshot: Snapshot[StateT]) -> None:
        self.kind = kind
        self.snapshot = snapshot
        self.ended_at_once = snapshot.state.ended

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def status(self) -> JobStatus:
        return self.state.status

    @property
    def state(self) -> StateT:
        return self.snapshot.state

    @property
    def raw(self) -> dict[str, Any]:
        """The job as the JSON object its service sent."""
        return self.snapshot.raw

    def result(self) -> StateT:
        """The ended job with its result. Raises ``JobFailedError``, or ``JobCancelledError`` which is one."""
        if self.status is JobStatus.CANCELLED:
            raise JobCancelledError(self.state)
        if self.status is not JobStatus.SUCCEEDED:
            raise JobFailedError(self.state)
        return self.state

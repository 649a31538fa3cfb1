"""What a handle on a job knows, whichever client made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from astrolabe.errors import JobCancelledError, JobFailedError
from astrolabe.models import JobState, JobStatus

if TYPE_CHECKING:
    from astrolabe.calls import JobKind
    from astrolabe.operations import Snapshot

StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class JobHandle(Generic[StateT_co]):
    """A job and the last that is known of it."""

    def __init__(self, kind: JobKind[StateT_co], snapshot: Snapshot[StateT_co]) -> None:
        self.kind = kind
        self.snapshot = snapshot

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def status(self) -> JobStatus:
        return self.state.status

    @property
    def state(self) -> StateT_co:
        return self.snapshot.state

    @property
    def raw(self) -> dict[str, Any]:
        """The job as the JSON object its service sent."""
        return self.snapshot.raw

    def result(self) -> StateT_co:
        """The ended job with its result. Raises ``JobFailedError``, or ``JobCancelledError`` which is one."""
        if self.status is JobStatus.CANCELLED:
            raise JobCancelledError(self.state)
        if self.status is not JobStatus.SUCCEEDED:
            raise JobFailedError(self.state)
        return self.state

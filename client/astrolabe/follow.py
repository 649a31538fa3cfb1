"""Follow a job's events over as many connections as it takes: the state between them, and none of the I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from astrolabe import calls
from astrolabe.models import JobState
from astrolabe.replies import read_event
from astrolabe.sse import EventParser
from astrolabe.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from astrolabe.calls import Call, JobKind
    from astrolabe.models import Event
    from astrolabe.operations import Operations
    from astrolabe.retry import Outcome

StateT = TypeVar("StateT", bound=JobState)
_MEDIA_TYPE = "text/event-stream"


class Follower(Stream, Generic[StateT]):
    """The events of a job.

    ``ended`` once the job's last event was seen. ``doubtful`` when a connection was closed in order without an event:
    then the job is to be read, because nothing follows when its last event had been seen before.
    """

    def __init__(self, operations: Operations, kind: JobKind[StateT], job_id: str, last_event_id: int) -> None:
        super().__init__(operations, kind.service, _MEDIA_TYPE)
        self.last_event_id = last_event_id
        self.ended = False
        self.doubtful = False
        self._kind = kind
        self._job_id = job_id
        self._parser = EventParser()
        self._heard = False

    @property
    def call(self) -> Call:
        return calls.follow_job(self._kind, self._job_id, self.last_event_id)

    def accept(self, response: httpx.Response) -> bool:
        accepted = super().accept(response)
        if accepted:
            self._parser = EventParser()
            self._heard = False
        return accepted

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes. Any byte, even of a comment, shows that the connection works."""
        self.attempt = 0
        for given in self._parser.feed(chunk):
            event = read_event(self._kind.service, self.url, given)
            self.last_event_id, self._heard = event.id, True
            self.ended = self.ended or event.ends_job
            yield event

    def lost(self, outcome: Outcome) -> None:
        self.doubtful = False
        super().lost(outcome)
        self._heed_the_service()

    def closed(self) -> None:
        """The connection was closed in order."""
        self.doubtful = not self._heard
        self.back_off()
        self._heed_the_service()

    def _heed_the_service(self) -> None:
        self.pause_seconds = max(self.pause_seconds, self._parser.retry_seconds or 0.0)

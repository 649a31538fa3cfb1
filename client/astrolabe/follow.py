"""Follow a job's events over as many connections as it takes: the state between them, and none of the I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from astrolabe import calls
from astrolabe.errors import UnexpectedResponseError
from astrolabe.models import JobState
from astrolabe.replies import read_event
from astrolabe.sse import EventParser

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from astrolabe.calls import Call, JobKind
    from astrolabe.models import Event
    from astrolabe.operations import Operations
    from astrolabe.retry import Outcome

StateT = TypeVar("StateT", bound=JobState)
_MEDIA_TYPE = "text/event-stream"


class Follower(Generic[StateT]):
    """Connect with ``call`` after ``pause_seconds``, ``accept`` the response, ``feed`` its chunks, say how it ended.

    ``ended`` once the job's last event was seen. ``doubtful`` when a connection was closed in order without an event:
    then the job is to be read, because nothing follows when its last event had been seen before.
    """

    def __init__(self, operations: Operations, kind: JobKind[StateT], job_id: str, last_event_id: int) -> None:
        self.last_event_id = last_event_id
        self.pause_seconds = 0.0
        self.ended = False
        self.doubtful = False
        self._operations = operations
        self._kind = kind
        self._job_id = job_id
        self._parser = EventParser()
        self._attempt = 0
        self._heard = False

    @property
    def call(self) -> Call:
        return calls.follow_job(self._kind, self._job_id, self.last_event_id)

    def accept(self, response: httpx.Response) -> bool:
        """Whether events follow. Raises for a refusal that will not change; an error must have been read."""
        if not response.is_success:
            self.lost(response)
            return False
        media_type = response.headers.get("Content-Type", "no content type")
        if not media_type.startswith(_MEDIA_TYPE):
            url = self._operations.config.urls[self._kind.service]
            raise UnexpectedResponseError(self._kind.service, url, f"{media_type}, not {_MEDIA_TYPE}")
        self._parser = EventParser()
        self._heard = False
        return True

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that ``chunk`` completes. Any byte, even of a comment, shows that the connection works."""
        self._attempt = 0
        for given in self._parser.feed(chunk):
            event = read_event(self._kind.service, self._operations.config.urls[self._kind.service], given)
            self.last_event_id, self._heard = event.id, True
            self.ended = self.ended or event.ends_job
            yield event

    def lost(self, outcome: Outcome) -> None:
        """The connection broke, or was refused for the moment. Raises when it has been tried often enough."""
        self.doubtful = False
        self._attempt += 1
        pause_seconds = self._operations.retry.pause_seconds(self._attempt, outcome)
        if pause_seconds is None:
            raise self._operations.error_of(self.call, outcome)
        self._pause(pause_seconds)

    def closed(self) -> None:
        """The connection was closed in order."""
        self.doubtful = not self._heard
        self._attempt += 1
        self._pause(self._operations.retry.backoff_seconds(self._attempt))

    def _pause(self, seconds: float) -> None:
        self.pause_seconds = max(seconds, self._parser.retry_seconds or 0.0)

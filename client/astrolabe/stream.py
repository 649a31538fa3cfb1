"""Read a stream over as many connections as it takes: when to connect again, and when to give up. None of the I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from astrolabe.errors import UnexpectedResponseError

if TYPE_CHECKING:
    import httpx

    from astrolabe.calls import Call
    from astrolabe.config import Service
    from astrolabe.operations import Operations
    from astrolabe.retry import Outcome


class Stream(ABC):
    """Connect with ``call`` after ``pause_seconds``, ``accept`` the response, feed its chunks, say how it ended."""

    def __init__(self, operations: Operations, service: Service, media_type: str) -> None:
        self.pause_seconds = 0.0
        self.attempt = 0
        self._operations = operations
        self._service = service
        self._media_type = media_type

    @property
    @abstractmethod
    def call(self) -> Call:
        """What to ask for on the next connection."""

    @property
    def url(self) -> str:
        return self._operations.config.urls[self._service]

    def accept(self, response: httpx.Response) -> bool:
        """Whether the stream follows. Raises for a refusal that will not change; an error must have been read."""
        if not response.is_success:
            self.lost(response)
            return False
        media_type = response.headers.get("Content-Type", "no content type")
        if not media_type.startswith(self._media_type):
            raise UnexpectedResponseError(self._service, self.url, f"{media_type}, not {self._media_type}")
        return True

    def lost(self, outcome: Outcome) -> None:
        """The connection broke, or was refused for the moment. Raises when it has been tried often enough."""
        self.attempt += 1
        pause_seconds = self._operations.retry.pause_seconds(self.attempt, outcome)
        if pause_seconds is None:
            raise self._operations.error_of(self.call, outcome)
        self.pause_seconds = pause_seconds

    def back_off(self) -> None:
        """Wait longer before each connection that brings nothing."""
        self.attempt += 1
        self.pause_seconds = self._operations.retry.backoff_seconds(self.attempt)

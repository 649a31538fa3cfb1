"""Read a batch's results as they come, over as many connections as it takes: none of the I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from astrolabe.batches import calls, operations
from astrolabe.batches.models import BatchResult
from astrolabe.errors import UnexpectedResponseError
from astrolabe.models import JobState
from astrolabe.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from astrolabe.batches.models import BatchState
    from astrolabe.calls import Call, JobKind
    from astrolabe.operations import Operation, Operations, Snapshot

StateT = TypeVar("StateT", bound=JobState)
_POLL_SECONDS = 5.0


class ResultReader(Stream, Generic[StateT]):
    """Perform ``look`` if there is one, tell ``seen`` of it, read a page; again until ``ended``.

    A page holds what had ended when it was asked for. A page without a line ends the results, provided that the batch
    was known to be finished before it was asked for; or anyway, unless the batch is to be followed to its end.
    """

    def __init__(
        self, operations_: Operations, kind: JobKind[StateT], batch_id: str, since: str | None, *, follow: bool
    ) -> None:
        super().__init__(operations_, kind.service, calls.JSON_LINES)
        self.cursor = since
        self.ended = False
        self._model = BatchResult[kind.state]  # type: ignore[name-defined]
        self._batch_id = batch_id
        self._complete = not follow
        self._asks = follow
        self._wait_seconds = 0.0
        self._rest = b""
        self._lines = 0

    @property
    def call(self) -> Call:
        return calls.results(self._service, self._batch_id, self.cursor)

    def accept(self, response: httpx.Response) -> bool:
        self._rest = b""  # what a cut left of a line comes again, whole
        return super().accept(response)

    def look(self) -> Operation[Snapshot[BatchState]] | None:
        """How to learn whether the batch is finished, where that is to be learned before the next page."""
        if self._complete or not self._asks:
            return None
        return operations.read(self._operations, self._service, self._batch_id, wait_seconds=self._wait_seconds)

    def seen(self, snapshot: Snapshot[BatchState]) -> None:
        """The batch as it stands."""
        self._complete = snapshot.state.finished
        self._asks = False

    def feed(self, chunk: bytes) -> Iterator[BatchResult[StateT]]:
        """The results that ``chunk`` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield self._read(line)

    def closed(self) -> Iterator[BatchResult[StateT]]:
        """The page was read to its end, which need not be a line end."""
        if self._rest:
            yield self._read(self._rest)
        self.ended = self._complete and not self._lines
        self._wait_seconds = 0.0 if self._lines else _POLL_SECONDS
        self._rest, self._lines, self._asks = b"", 0, True
        self.attempt, self.pause_seconds = 0, 0.0

    def _read(self, line: bytes) -> BatchResult[StateT]:
        try:
            result: BatchResult[StateT] = self._model.model_validate_json(line)
        except ValidationError as error:
            reason = f"a line of results is not one: {error.errors()[0]['msg']}"
            raise UnexpectedResponseError(self._service, self.url, reason) from error
        self.cursor, self.attempt = result.cursor, 0
        self._lines += 1
        return result

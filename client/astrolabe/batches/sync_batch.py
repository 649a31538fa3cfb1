"""A batch for the synchronous client."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from astrolabe.batches import operations
from astrolabe.batches.handles import BatchHandle
from astrolabe.models import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from astrolabe.batches.models import BatchResult, BatchState
    from astrolabe.calls import JobKind
    from astrolabe.client import Client
    from astrolabe.operations import Snapshot

StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)


class Batch(BatchHandle[StateT_co]):
    """A batch; its methods ask the service."""

    def __init__(
        self,
        client: Client,
        kind: JobKind[StateT_co],
        batch_id: str,
        snapshot: Snapshot[BatchState] | None = None,
    ) -> None:
        super().__init__(kind, batch_id, snapshot)
        self._client = client

    def refresh(self) -> BatchState:
        """The batch as it stands now."""
        client = self._client
        self.snapshot = client.run(operations.read(client.operations, self.kind.service, self.id, known=self.snapshot))
        return self.snapshot.state

    def wait(
        self, timeout_seconds: float | None = None, on_change: Callable[[BatchState], None] | None = None
    ) -> BatchState:
        """The batch when each job has ended, however. ``on_change`` is told how it gets on.

        Raises ``WaitTimeoutError``; the batch goes on then.
        """
        client = self._client
        self.snapshot = client.run(
            operations.wait(client.operations, self.kind.service, self.id, timeout_seconds, on_change)
        )
        return self.snapshot.state

    def results(self, since: str | None = None, *, follow: bool = True) -> Iterator[BatchResult[StateT_co]]:
        """The jobs that have ended, in that order, from after the cursor ``since``; ``follow`` waits for the rest."""
        return self._client.batch_results(self, since, follow=follow)

    def cancel(self) -> BatchState:
        """Stop every job that has not ended."""
        client = self._client
        self.snapshot = client.run(operations.cancel(client.operations, self.kind.service, self.id))
        return self.snapshot.state

"""Wait for batches, and show how they get on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from astrolabe.batches.async_batch import AsyncBatch
from astrolabe.cli.display import make_display
from astrolabe.cli.failures import exit_interrupted
from astrolabe.models import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astrolabe.async_client import AsyncClient
    from astrolabe.batches.models import BatchState
    from astrolabe.calls import JobKind
    from astrolabe.cli.session import Session
    from astrolabe.models import JobState


def wait_for_batches(
    session: Session,
    kind: JobKind[JobState],
    batch_ids: Sequence[str],
    timeout_seconds: float | None,
    *,
    quiet: bool,
) -> list[BatchState]:
    """The batches when all are finished. Ctrl-C leaves them running and says how to come back to the one at hand."""
    deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    finished: list[BatchState] = []

    async def work(client: AsyncClient) -> None:
        with make_display(quiet=quiet, nodes=False) as show:
            for batch_id in batch_ids:
                batch = AsyncBatch(client, kind, batch_id)
                left_seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
                finished.append(await batch.wait(left_seconds, lambda state: show(_progress(state))))

    try:
        session.run(work)
    except KeyboardInterrupt:
        raise exit_interrupted(batch_ids[len(finished)], "Batch") from None
    return finished


def _progress(batch: BatchState) -> Event:
    """How far a batch is, as the event by which a job would tell."""
    counts = batch.counts
    trouble = f" ({counts.failed:,} failed)" if counts.failed else ""
    data = {
        "phase": f"batch {batch.status}",
        "completed": counts.ended,
        "total": batch.accepted,
        "unit": f"jobs{trouble}",
    }
    return Event(id=0, type="job.progress", data=data)

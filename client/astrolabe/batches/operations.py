"""What the client does about batches, without doing it: see ``astrolabe.operations``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from astrolabe.batches import calls
from astrolabe.batches.lines import chunks
from astrolabe.batches.models import BatchReceipt, BatchState
from astrolabe.calls import LONGEST_WAIT_SECONDS
from astrolabe.errors import WaitTimeoutError
from astrolabe.replies import read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from astrolabe.batches.lines import Line
    from astrolabe.config import Service
    from astrolabe.operations import Operation, Operations, Snapshot

WATCH_SECONDS = 2.0
"""How often a batch is looked at while somebody watches it."""


def ignore(_: object) -> None:
    """What is done with news that nobody asked for."""


def submit_many(
    operations: Operations,
    service: Service,
    lines: Iterable[Line],
    *,
    validate_only: bool = False,
    idempotency_key: str | None = None,
    on_receipt: Callable[[BatchReceipt], None] = ignore,
) -> Operation[tuple[BatchReceipt, ...]]:
    """Ask for the jobs in ``lines``, one batch a chunk; ``on_receipt`` is told of each as it is accepted."""
    receipts = []
    for number, chunk in enumerate(chunks(lines), start=1):
        key = f"{idempotency_key}-{number}" if idempotency_key else None
        call = calls.submit(service, bytes(chunk.content), validate_only=validate_only, idempotency_key=key)
        response = yield from operations.exchange(call)
        receipt = _renumbered(read_model(service, response, BatchReceipt)[0], chunk.numbers)
        receipts.append(receipt)
        on_receipt(receipt)
    return tuple(receipts)


def _renumbered(receipt: BatchReceipt, numbers: Sequence[int]) -> BatchReceipt:
    """The receipt with the numbers that its lines have among all lines of all chunks."""
    own = dict(enumerate(numbers, start=1))
    rejections = tuple(
        rejection.model_copy(update={"line": own.get(rejection.line, rejection.line)})
        for rejection in receipt.rejections
    )
    return receipt.model_copy(update={"rejections": rejections})


def read(
    operations: Operations,
    service: Service,
    batch_id: str,
    *,
    wait_seconds: float = 0.0,
    known: Snapshot[BatchState] | None = None,
) -> Operation[Snapshot[BatchState]]:
    """The batch as it stands, when it is finished or ``wait_seconds`` have passed."""
    call = calls.read(service, batch_id, wait_seconds, known.etag if known else None)
    return operations.snapshot(service, BatchState, call, known=known)


def cancel(operations: Operations, service: Service, batch_id: str) -> Operation[Snapshot[BatchState]]:
    """Stop every job of the batch that has not ended; the batch as it stands then."""
    yield from operations.exchange(calls.cancel(service, batch_id))
    return (yield from read(operations, service, batch_id))


def wait(
    operations: Operations,
    service: Service,
    batch_id: str,
    timeout_seconds: float | None,
    on_change: Callable[[BatchState], None] | None = None,
) -> Operation[Snapshot[BatchState]]:
    """The batch when it is finished. ``on_change`` is told how it gets on. Raises ``WaitTimeoutError``."""
    deadline = math.inf if timeout_seconds is None else operations.clock() + timeout_seconds
    longest_seconds = LONGEST_WAIT_SECONDS if on_change is None else WATCH_SECONDS
    known: Snapshot[BatchState] | None = None
    while True:
        left_seconds = deadline - operations.clock()
        call = calls.read(service, batch_id, min(left_seconds, longest_seconds), known.etag if known else None)
        latest = yield from operations.snapshot(service, BatchState, call, deadline, known)
        if latest is not known and on_change is not None:
            on_change(latest.state)
        if latest.state.finished:
            return latest
        if left_seconds <= 0:
            raise WaitTimeoutError(batch_id, timeout_seconds or 0.0, noun="Batch")
        known = latest

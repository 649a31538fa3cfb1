"""What handles on batches know, whichever client made them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from astrolabe.models import JobState

if TYPE_CHECKING:
    from astrolabe.batches.models import BatchReceipt, BatchState, Rejection
    from astrolabe.calls import JobKind
    from astrolabe.operations import Snapshot

StateT_co = TypeVar("StateT_co", bound=JobState, covariant=True)
BatchT_co = TypeVar("BatchT_co", covariant=True)


class BatchHandle(Generic[StateT_co]):
    """A batch, and the last that is known of it, which is nothing until it was first asked for."""

    def __init__(self, kind: JobKind[StateT_co], batch_id: str, snapshot: Snapshot[BatchState] | None = None) -> None:
        self.kind = kind
        self.id = batch_id
        self.snapshot = snapshot


@dataclass(frozen=True, slots=True)
class Submission(Generic[BatchT_co]):
    """What became of many requests: the batches they are in, and what each batch's service said of its lines."""

    receipts: tuple[BatchReceipt, ...]
    batches: tuple[BatchT_co, ...]

    @property
    def accepted(self) -> int:
        return sum(receipt.accepted for receipt in self.receipts)

    @property
    def duplicates(self) -> int:
        """Lines whose job was there already, from an earlier submission."""
        return sum(receipt.duplicates for receipt in self.receipts)

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        return tuple(rejection for receipt in self.receipts for rejection in receipt.rejections)

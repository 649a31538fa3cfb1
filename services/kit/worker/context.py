"""What a handler sees of its job: the request, progress, events, whether to stop. The lease is kept behind it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from kit.db import transaction
from kit.jobs import transitions
from kit.jobs.transitions import Claim, ClaimLostError
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from kit.settings import JobSettings
    from kit.worker.leases import Lease

_PROGRESS_INTERVAL_SECONDS = 0.2

T = TypeVar("T")

logger = get_logger(__name__)


class CancelledByOwnerError(Exception):
    """The job's owner wants it stopped."""


class TransientError(Exception):
    """Something the job needs is away: the job goes back to the queue."""


@dataclass(slots=True)
class JobContext:
    """A job in the hands of a worker."""

    engine: Engine
    settings: JobSettings
    held: Claim
    spec: dict[str, Any]
    active_key: str | None
    request_id: str | None
    started_at: datetime
    lease: Lease
    _reported_at: float = float("-inf")
    _reported_phase: str = ""

    @property
    def job_id(self) -> UUID:
        return self.held.job_id

    def check(self) -> None:
        """Raise when the work is to stop: ``CancelledByOwnerError`` or ``ClaimLostError``."""
        if self.lease.lost.is_set():
            raise ClaimLostError(self.held)
        if self.lease.cancelled.is_set():
            raise CancelledByOwnerError

    def progress(self, phase: str, completed: int, total: int | None, unit: str) -> None:
        """Tell how far the work is, at most five times a second and at each new phase; raises like ``check``."""
        self.check()
        now = time.monotonic()
        if phase == self._reported_phase and now - self._reported_at < _PROGRESS_INTERVAL_SECONDS:
            return
        self._reported_phase, self._reported_at = phase, now
        value = {"phase": phase, "completed": completed, "total": total, "unit": unit}
        with transaction(self.engine) as session:
            transitions.progress(session, self.held, value)

    def emit(self, event: str, data: Mapping[str, Any], key: str | None = None) -> None:
        """Log an event of the work; one with a ``key`` once, however often the job is resumed."""
        with transaction(self.engine) as session:
            transitions.emit(session, self.held, event, data, key)

    def write(self, step: Callable[[Session], T]) -> T:
        """Run ``step`` in a transaction that commits only while this attempt still holds the job."""
        with transaction(self.engine) as session:
            transitions.confirm(session, self.held)
            return step(session)

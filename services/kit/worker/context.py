"""What a handler sees of its job: the request, progress, events, whether to stop. The lease is kept behind it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from kit.db import transaction
from kit.jobs import transitions
from kit.jobs.states import JobStatus
from kit.jobs.transitions import Claim, ClaimLostError
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from kit.settings import JobSettings

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
    request_id: str | None
    started_at: datetime
    _cancelled: threading.Event
    _lost: threading.Event
    _reported_at: float = float("-inf")
    _reported_phase: str = ""

    @property
    def job_id(self) -> UUID:
        return self.held.job_id

    def check(self) -> None:
        """Raise when the work is to stop: ``CancelledByOwnerError`` or ``ClaimLostError``."""
        if self._lost.is_set():
            raise ClaimLostError(self.held)
        if self._cancelled.is_set():
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


class LeaseKeeper:
    """A thread that renews the lease of a job while the block runs, and learns of a cancel on the way."""

    def __init__(self, engine: Engine, settings: JobSettings, held: Claim) -> None:
        self.engine = engine
        self.held = held
        self.cancelled = threading.Event()
        self.lost = threading.Event()
        self._interval_seconds = settings.heartbeat_seconds
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{held.job_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        renewed_at = time.monotonic()
        while not self._done.wait(self._interval_seconds):
            try:
                with transaction(self.engine) as session:
                    status = transitions.renew(session, self.held, self._lease)
            except ClaimLostError:
                self.lost.set()
                return
            except SQLAlchemyError as error:
                logger.warning("lease not renewed", job_id=str(self.held.job_id), error=type(error).__name__)
                if time.monotonic() - renewed_at > self._lease.total_seconds():
                    self.lost.set()
                    return
                continue
            renewed_at = time.monotonic()
            if status is JobStatus.CANCELLING:
                self.cancelled.set()

"""The leases of the jobs in hand: one thread of the process renews them all, in one statement."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import SQLAlchemyError

from kit.db import transaction
from kit.jobs import transitions
from kit.jobs.states import JobStatus
from kit.jobs.transitions import ClaimLostError
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy import Engine

    from kit.jobs.transitions import Claim
    from kit.settings import JobSettings

logger = get_logger(__name__)


class Lease:
    """The hold on one job: whether its owner wants it stopped, and whether it was lost."""

    def __init__(self, held: Claim) -> None:
        self.held = held
        self.cancelled = threading.Event()
        self.lost = threading.Event()
        self.renewed_at = time.monotonic()
        self._stop: Callable[[], object] | None = None

    def end(self, why: threading.Event) -> None:
        """Set ``cancelled`` or ``lost``, and tell whoever wants to know at once."""
        if why.is_set():
            return
        why.set()
        if (stop := self._stop) is not None:
            stop()

    @contextmanager
    def telling(self, stop: Callable[[], object]) -> Iterator[None]:
        """Call ``stop``, from another thread, when the lease ends within the block."""
        self._stop = stop
        try:
            if self.cancelled.is_set() or self.lost.is_set():
                stop()
            yield
        finally:
            self._stop = None


class Leases:
    """Keeps the leases of this process. Make it after the fork; its thread starts with the first lease."""

    def __init__(self, engine: Engine, settings: JobSettings) -> None:
        self._engine = engine
        self._interval_seconds = settings.heartbeat_seconds
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._leases: dict[UUID, Lease] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def kept(self, held: Claim) -> Iterator[Lease]:
        """The lease of ``held``, renewed while the block runs."""
        lease = Lease(held)
        with self._lock:
            self._leases[held.job_id] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                if self._leases.get(held.job_id) is lease:
                    del self._leases[held.job_id]

    def _keep(self) -> None:
        while not self._done.wait(self._interval_seconds):
            with self._lock:
                leases = list(self._leases.values())
            if leases:
                self._renew(leases)

    def _renew(self, leases: list[Lease]) -> None:
        """Renew all that nobody has locked at once, and the others one by one, for that may have to wait."""
        try:
            with transaction(self._engine) as session:
                found = transitions.renew_all(session, [lease.held for lease in leases], self._lease)
        except SQLAlchemyError as error:
            self._not_renewed(leases, error)
            return
        for lease in leases:
            status = found.get(lease.held.job_id)
            if status is None:
                self._renew_one(lease)
            else:
                _renewed(lease, status)

    def _renew_one(self, lease: Lease) -> None:
        try:
            with transaction(self._engine) as session:
                status = transitions.renew(session, lease.held, self._lease)
        except ClaimLostError:
            lease.end(lease.lost)
        except SQLAlchemyError as error:
            self._not_renewed([lease], error)
        else:
            _renewed(lease, status)

    def _not_renewed(self, leases: list[Lease], error: SQLAlchemyError) -> None:
        logger.warning("leases not renewed", jobs=len(leases), error=type(error).__name__)
        for lease in leases:
            if time.monotonic() - lease.renewed_at > self._lease.total_seconds():
                lease.end(lease.lost)


def _renewed(lease: Lease, status: JobStatus) -> None:
    lease.renewed_at = time.monotonic()
    if status is JobStatus.CANCELLING:
        lease.end(lease.cancelled)

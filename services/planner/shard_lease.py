"""The lease of the shard in hand: renewed by a thread while it is searched."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from sqlalchemy.exc import SQLAlchemyError

from kit.db import transaction
from kit.jobs import ClaimLostError, JobStatus
from kit.log import get_logger
from planner import shards

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kit.settings import JobSettings
    from planner.shards import ShardClaim

logger = get_logger(__name__)


class UnwantedError(Exception):
    """The shard is another worker's now, or its job was cancelled or has ended."""


class ShardLease:
    """Keeps a shard while the block runs."""

    def __init__(self, engine: Engine, settings: JobSettings, held: ShardClaim) -> None:
        self._engine = engine
        self._held = held
        self._interval_seconds = settings.heartbeat_seconds
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._unwanted = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="shard-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ``UnwantedError`` once the work is for nothing."""
        if self._unwanted.is_set():
            raise UnwantedError

    def _keep(self) -> None:
        renewed_at = time.monotonic()
        while not self._done.wait(self._interval_seconds):
            try:
                with transaction(self._engine) as session:
                    status = shards.renew(session, self._held, self._lease)
            except ClaimLostError:
                self._unwanted.set()
                return
            except SQLAlchemyError as error:
                logger.warning("shard not renewed", job_id=str(self._held.job_id), error=type(error).__name__)
                if time.monotonic() - renewed_at > self._lease.total_seconds():
                    self._unwanted.set()
                    return
                continue
            renewed_at = time.monotonic()
            if status is JobStatus.CANCELLING:
                self._unwanted.set()

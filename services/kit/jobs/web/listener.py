"""Wake the requests that wait for a job: one LISTEN connection for the whole process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self
from uuid import UUID

import psycopg

from kit.db import KEEPALIVE, database_url
from kit.jobs.events import EVENTS_CHANNEL
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_RECONNECT_SECONDS = 0.5

logger = get_logger(__name__)


class JobListener:
    """Hands out an event per waiting request, set whenever its job may have changed (also after a lost connection)."""

    def __init__(self, url: str) -> None:
        self._conninfo = database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.notifications = 0
        """How many came so far, of any job: what was read at a count holds all that they told of."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def subscribe(self, job_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the job may have changed. Clear it, then read the job, then wait."""
        changed = asyncio.Event()
        self._waiting[job_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[job_id].discard(changed)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                logger.warning("listener lost the database", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=5, **KEEPALIVE
        ) as connection:
            await connection.execute(f"LISTEN {EVENTS_CHANNEL}")
            self._wake_all()
            async for notification in connection.notifies():
                self.notifications += 1
                for changed in self._waiting.get(UUID(notification.payload), ()):
                    changed.set()

    def _wake_all(self) -> None:
        self.notifications += 1
        for events in self._waiting.values():
            for changed in events:
                changed.set()

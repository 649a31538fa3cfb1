"""A job's events as they happen. However many follow a job, each piece of news is read from Postgres once a process."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi.sse import ServerSentEvent

from kit.db import async_transaction
from kit.jobs import events
from kit.jobs.models import Job
from kit.jobs.states import JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncEngine

    from kit.jobs.models import JobEvent
    from kit.jobs.web.listener import JobListener

POLL_SECONDS = 5.0
"""How long a lost notification can go unnoticed."""
_Question = tuple["UUID", int, int]


@dataclass(frozen=True, slots=True)
class _News:
    """What came after an event; rendered once for all who follow."""

    events: Sequence[ServerSentEvent]
    last: int
    is_over: bool


@dataclass(frozen=True, slots=True)
class Following:
    """Answers those who follow jobs; they share the reads that are under way."""

    engine: AsyncEngine
    listener: JobListener
    _reads: dict[_Question, asyncio.Task[_News]] = field(default_factory=dict)

    async def follow(self, job_id: UUID, after: int) -> AsyncIterator[ServerSentEvent]:
        """The job's events after number ``after``, as they happen, until the one that ends it."""
        with self.listener.subscribe(job_id) as changed:
            while True:
                changed.clear()
                news = await self._news(job_id, after)
                for event in news.events:
                    yield event
                after = news.last
                if news.is_over:
                    return
                if not news.events:
                    await wait(changed, POLL_SECONDS)

    async def _news(self, job_id: UUID, after: int) -> _News:
        """Shared by those who ask at the same count of notifications: an older read may lack what came since."""
        question = (job_id, after, self.listener.notifications)
        if (read := self._reads.get(question)) is None:
            read = self._reads[question] = asyncio.create_task(self._read(job_id, after))
            read.add_done_callback(lambda _: self._reads.pop(question))
        # Shielded: one who hangs up must not end it for the others.
        return await asyncio.shield(read)

    async def _read(self, job_id: UUID, after: int) -> _News:
        async with async_transaction(self.engine) as session:
            job = await session.get_one(Job, job_id)
            found = await session.run_sync(events.read, job_id, after)
        last = found[-1].seq if found else after
        is_over = JobStatus(job.status).is_terminal and last >= job.event_seq
        return _News([_rendered(job_id, event) for event in found], last, is_over)


def _rendered(job_id: UUID, event: JobEvent) -> ServerSentEvent:
    data = {"job_id": str(job_id), "at": event.created_at.isoformat(), **event.data}
    return ServerSentEvent(raw_data=json.dumps(data, ensure_ascii=False), event=event.type, id=str(event.seq))


async def wait(changed: asyncio.Event, seconds: float) -> None:
    """Until ``changed`` is set, at most so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()

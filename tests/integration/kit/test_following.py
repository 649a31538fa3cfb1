"""Many follow one job: each hears everything, in order, and the database is asked once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from kit.db import make_async_engine, transaction
from kit.jobs import Submission, submit, transitions
from kit.jobs.web.following import Following
from kit.jobs.web.listener import JobListener

FOLLOWERS = 40
TICKS = 5


@asynccontextmanager
async def following(database_url: str, reads: list[str]) -> AsyncIterator[Following]:
    engine = make_async_engine(database_url, 5)

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM kit.job_events" in statement:
            reads.append(statement)

    async with JobListener(database_url) as listener:
        yield Following(engine, listener)
    await engine.dispose()


def queued(engine: Engine) -> UUID:
    with transaction(engine) as session:
        return submit(session, Submission(service="toy", owner="ann", spec={}, max_attempts=3)).job.id


def work(engine: Engine, job_id: UUID) -> None:
    with transaction(engine) as session:
        held = transitions.claim(session, job_id, "worker", timedelta(seconds=30))
    assert held is not None
    for number in range(TICKS):
        with transaction(engine) as session:
            transitions.emit(session, held, "tick", {"number": number})
    with transaction(engine) as session:
        transitions.fail(session, held, {"type": "urn:x", "title": "x", "detail": "x"})


async def test_all_hear_everything_and_share_the_reads(engine: Engine, database_url: str) -> None:
    job_id, reads = queued(engine), []

    async def hear(news: Following) -> list[tuple[str | None, str | None]]:
        return [(one.id, one.event) async for one in news.follow(job_id, 0)]

    async with following(database_url, reads) as news:
        hearing = [asyncio.create_task(hear(news)) for _ in range(FOLLOWERS)]
        await asyncio.to_thread(work, engine, job_id)
        heard = await asyncio.wait_for(asyncio.gather(*hearing), 60)
    assert heard[0] == [(str(number), kind) for number, kind in enumerate(_kinds(), 1)]
    assert all(one == heard[0] for one in heard)
    assert len(reads) < FOLLOWERS, "each piece of news is read once, not once for each who follows"


def _kinds() -> list[str]:
    return ["job.created", "job.started", *["tick"] * TICKS, "job.failed"]


async def test_one_who_hangs_up_does_not_end_it_for_the_others(engine: Engine, database_url: str) -> None:
    job_id = queued(engine)
    async with following(database_url, []) as news:
        leaving, staying = (asyncio.create_task(_all(news, job_id)) for _ in range(2))
        await asyncio.sleep(0)  # both ask before either is answered
        leaving.cancel()
        await asyncio.to_thread(work, engine, job_id)
        assert len(await asyncio.wait_for(staying, 60)) == len(_kinds())
        with pytest.raises(asyncio.CancelledError):
            await leaving


async def _all(news: Following, job_id: UUID) -> list[str | None]:
    return [one.event async for one in news.follow(job_id, 0)]

"""What the job endpoints need of their application and their request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from kit.db import async_transaction

if TYPE_CHECKING:
    import redis.asyncio as redis

    from kit.jobs.web.following import Following
    from kit.jobs.web.listener import JobListener
    from kit.settings import JobSettings


@dataclass(frozen=True, slots=True)
class JobServiceState:
    """The long-lived parts of a service that has jobs."""

    settings: JobSettings
    engine: AsyncEngine
    redis: redis.Redis
    listener: JobListener
    following: Following


def state_of(request: Request) -> JobServiceState:
    """The parts of the application that answers ``request``."""
    return cast("JobServiceState", request.app.state.jobs)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with async_transaction(state_of(request).engine) as session:
        yield session


SessionDependency = Annotated[AsyncSession, Depends(_session, scope="function")]
"""One transaction for the request, committed before the answer is sent."""

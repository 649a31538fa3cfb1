"""What every command needs: a client, and a way to wait for a job."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from astrolabe.async_client import AsyncClient, AsyncJob
from astrolabe.cli.display import make_display
from astrolabe.cli.failures import exit_interrupted
from astrolabe.errors import WaitTimeoutError
from astrolabe.models import JobState

if TYPE_CHECKING:
    import typer

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT", bound=JobState)


@dataclass(frozen=True, slots=True)
class Session:
    """The addresses this command was told."""

    planner_url: str | None
    codetree_url: str | None

    def run(self, work: Callable[[AsyncClient], Awaitable[ResultT]]) -> ResultT:
        """Do ``work`` with a client of its own."""

        async def with_client() -> ResultT:
            async with AsyncClient(planner_url=self.planner_url, codetree_url=self.codetree_url) as client:
                return await work(client)

        return asyncio.run(with_client())


def session_of(context: typer.Context) -> Session:
    """The session the root command made."""
    session = context.find_object(Session)
    if session is None:
        raise RuntimeError("the root command makes the session")
    return session


@dataclass(frozen=True, slots=True)
class Waiting:
    """How to wait for a job."""

    timeout_seconds: float | None = None
    quiet: bool = False
    nodes: bool = False


def wait_for(
    session: Session, start: Callable[[AsyncClient], Awaitable[AsyncJob[StateT]]], waiting: Waiting
) -> AsyncJob[StateT]:
    """The job that ``start`` gives, when it has ended. Ctrl-C leaves it running and says how to come back to it."""
    known: list[AsyncJob[StateT]] = []

    async def work(client: AsyncClient) -> AsyncJob[StateT]:
        job = await start(client)
        known.append(job)
        if not job.state.ended:
            await _follow(job, waiting)
        return job

    try:
        return session.run(work)
    except KeyboardInterrupt:
        if not known:
            raise
        raise exit_interrupted(known[0].id) from None


async def _follow(job: AsyncJob[StateT], waiting: Waiting) -> None:
    """Show the job's events until it has ended, then read it."""
    try:
        with make_display(quiet=waiting.quiet, nodes=waiting.nodes) as show:
            async with asyncio.timeout(waiting.timeout_seconds):
                async for event in job.events():
                    show(event)
    except TimeoutError as error:
        raise WaitTimeoutError(job.id, waiting.timeout_seconds or 0.0) from error
    await job.refresh()

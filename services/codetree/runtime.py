"""One event loop for all episodes of a worker process, with the connections they share.

An episode mostly waits, for a model or for the sandbox, so that one process can hold hundreds. Jobs come in on threads
of their own, which keep the leases; the loop's thread runs the episodes.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from typing import TYPE_CHECKING, TypeVar

from codetree.llm.providers import Providers
from codetree.transport import patient_client
from kit.problems import Problem
from kit.worker import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

    from codetree.settings import CodetreeSettings
    from kit.worker import JobContext

DATABASE_THREADS = 16
_CHECK_SECONDS = 0.25

T = TypeVar("T")


class Runtime:
    """Starts its loop when the first job arrives: after the fork, if there is one."""

    def __init__(self, settings: CodetreeSettings) -> None:
        self.settings = settings
        self.providers = Providers(settings)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sandbox: httpx.AsyncClient | None = None

    @property
    def sandbox(self) -> httpx.AsyncClient:
        """The connections to the sandbox; for use on the loop."""
        if self._sandbox is None:
            token = self.settings.sandbox_token
            headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
            self._sandbox = patient_client(headers, use_proxies=False)
        return self._sandbox

    def run(self, context: JobContext, episode: Callable[[], Coroutine[None, None, T]]) -> T:
        """What ``episode`` returns; it ends early when the job is cancelled, lost, too slow, or the worker stops."""
        future = asyncio.run_coroutine_threadsafe(self._bounded(context, episode), self._started())
        try:
            while True:
                context.check()
                try:
                    return future.result(_CHECK_SECONDS)
                except NotYetError:
                    continue
                except CancelledError:
                    raise TransientError("the worker stops") from None
        finally:
            future.cancel()

    def stop(self) -> None:
        """End every episode; their jobs go back to the queue."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_cancel_all)

    async def _bounded(self, context: JobContext, episode: Callable[[], Coroutine[None, None, T]]) -> T:
        limit_seconds = context.settings.job_time_limit_seconds
        try:
            async with asyncio.timeout(limit_seconds):
                return await episode()
        except TimeoutError as error:
            detail = (
                f"The episode was ended after {limit_seconds} s; give it limits.wall_seconds to end it with a vote."
            )
            raise Problem(504, "job-time-limit", "The episode took too long", detail) from error

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(ThreadPoolExecutor(DATABASE_THREADS, "journal"))
                threading.Thread(target=self._loop.run_forever, name="episodes", daemon=True).start()
            return self._loop


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()

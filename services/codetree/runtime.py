"""One event loop for all episodes of a worker process, with the connections they share.

An episode mostly waits, for a model or for the sandbox, so that one process can hold hundreds. Jobs come in on threads
of their own, which keep the leases; the loop's thread runs the episodes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from codetree.gateway import Gateway
from codetree.llm.providers import Providers
from codetree.planner_client import PlannerClient
from codetree.transport import patient_client
from kit import web
from kit.problems import Problem
from kit.worker import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

    from codetree.settings import CodetreeSettings
    from kit.worker import JobContext

DATABASE_THREADS = 16

T = TypeVar("T")


class Runtime:
    """The loop of one worker process: make it after the fork, if there is one.

    It serves what the worker answers itself: hosted functions of running programs, probes and metrics.
    """

    def __init__(self, settings: CodetreeSettings) -> None:
        self.settings = settings
        self.providers = Providers(settings)
        self.planner = PlannerClient(settings.planner_url, settings.planner_api_key)
        self._socket = _listening(settings.codetree_worker_host, settings.codetree_worker_port)
        self.gateway = Gateway(settings.tool_gateway_url or f"http://{_address(self._socket)}")
        self._sandbox: httpx.AsyncClient | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(DATABASE_THREADS, "journal"))
        threading.Thread(target=self._loop.run_forever, name="episodes", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop)

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
        future = asyncio.run_coroutine_threadsafe(self._bounded(context, episode), self._loop)
        try:
            with context.lease.telling(future.cancel):
                return future.result()
        except CancelledError:
            context.check()
            raise TransientError("the worker stops") from None
        finally:
            future.cancel()

    def stop(self) -> None:
        """End every episode; their jobs go back to the queue."""
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

    async def _serve(self) -> None:
        app = web.create_app(
            service="codetree_worker",
            title="Astrolabe codetree worker",
            settings=self.settings,
            routers=[self.gateway.router],
            readiness={},
        )
        await web.serve_on(app, self._socket)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections from now on. Raises ``OSError`` when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()

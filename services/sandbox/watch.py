"""Holds a run to its limits by what the service and the kernel count, while something is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from sandbox.jail.counted import Counted

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from sandbox.backend import Jail
    from sandbox.limits import Limits
    from sandbox.verdict import Stop

SAMPLING_SECONDS = 0.05
Awaited = TypeVar("Awaited")


class Watch:
    """One run's watch. What a session used before, ``before``, does not count."""

    def __init__(self, jail: Jail, limits: Limits, before: Counted = Counted(0, 0, 0.0)) -> None:  # noqa: B008 - immutable
        self._jail = jail
        self._limits = limits
        self._before = before
        self.stop: Stop | None = None

    def used(self) -> Counted:
        """What this run used so far."""
        now, before = self._jail.counted(), self._before
        return Counted(now.oom_kills - before.oom_kills, now.peak_bytes, now.cpu_seconds - before.cpu_seconds)

    def stop_or_truncated(self) -> Stop | None:
        """What stopped the run; too much output also when it ended by itself before that was seen."""
        if self._jail.stdout.truncated or self._jail.stderr.truncated:
            return self.stop or "output"
        return self.stop

    async def until(self, awaited: Coroutine[Any, Any, Awaited]) -> Awaited | None:
        """Its result, unless a limit is broken first: then None, and ``stop`` says which."""
        wanted = asyncio.create_task(awaited)
        stops = [asyncio.create_task(self._output_exceeded()), asyncio.create_task(self._use_exceeded())]
        waits: set[asyncio.Task[Any]] = {wanted, *stops}
        try:
            done, _ = await asyncio.wait(waits, timeout=self._limits.wall_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if wanted in done:
            return wanted.result()
        self.stop = next((stop.result() for stop in stops if stop in done), "wall")
        return None

    async def _output_exceeded(self) -> Stop:
        await self._jail.output_exceeded.wait()
        return "output"

    async def _use_exceeded(self) -> Stop:
        while True:
            await asyncio.sleep(SAMPLING_SECONDS)
            used = self.used()
            if used.oom_kills or used.peak_bytes > self._limits.memory_bytes:
                return "memory"
            if used.cpu_seconds >= self._limits.cpu_seconds:
                return "cpu"

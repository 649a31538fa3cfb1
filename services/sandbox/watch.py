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
        self._deadline: asyncio.Timeout | None = None
        self._sampling: asyncio.TimerHandle | None = None

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
        self._jail.on_output_exceeded = lambda: self._break("output")
        try:
            async with asyncio.timeout(self._limits.wall_seconds) as self._deadline:
                self._sample_later()
                return await awaited
        except TimeoutError:
            self.stop = self.stop or "wall"
            return None
        finally:
            self._jail.on_output_exceeded = self._deadline = None
            if self._sampling is not None:
                self._sampling.cancel()

    def _break(self, stop: Stop) -> None:
        """Wait no longer."""
        if self._deadline is not None and self.stop is None:
            self.stop = stop
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def _sample_later(self) -> None:
        self._sampling = asyncio.get_running_loop().call_later(SAMPLING_SECONDS, self._sample)

    def _sample(self) -> None:
        used = self.used()
        if used.oom_kills or used.peak_bytes > self._limits.memory_bytes:
            self._break("memory")
        elif used.cpu_seconds >= self._limits.cpu_seconds:
            self._break("cpu")
        else:
            self._sample_later()

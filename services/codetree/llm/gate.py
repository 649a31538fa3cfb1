"""How many calls a model may have in flight, and how many may start in a minute."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_SECONDS_PER_MINUTE = 60.0


class Gate:
    """Calls pass one after the other, spaced by the rate, at most ``concurrency`` at once. ``None`` is no limit."""

    def __init__(
        self,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._spacing_seconds = _SECONDS_PER_MINUTE / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_start = float("-inf")

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Wait for a slot and for the rate, then hold the slot while the block runs."""
        async with self._slots or nullcontext():
            if self._spacing_seconds:
                await self._wait_for_rate()
            yield

    async def _wait_for_rate(self) -> None:
        now = self._clock()
        start = max(now, self._next_start)
        self._next_start = start + self._spacing_seconds
        if start > now:
            await self._sleep(start - now)

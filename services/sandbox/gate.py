"""How many runs at once, how many may wait, and how long; past that the caller is told to come back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Gate:
    """Admits ``concurrency`` runs at a time, first come first served, with a bounded queue before it."""

    def __init__(self, concurrency: int, queue_size: int, queue_seconds: float) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        self._queue_size = queue_size
        self._queue_seconds = queue_seconds
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot. Raises the 503 problem when the queue is full or the wait too long."""
        if self._slots.locked() and self._waiting >= self._queue_size:
            raise _overloaded(f"all slots are busy and {self._queue_size} requests wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise _overloaded(f"no slot became free within {self._queue_seconds:g} s") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


def _overloaded(detail: str) -> Problem:
    return Problem(503, "overloaded", "The sandbox is busy", detail, headers={"Retry-After": "1"})

"""Jails that wait, each for one run: started before they are asked for, never used twice."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from kit.log import get_logger
from sandbox.jail.faults import JailStartError

if TYPE_CHECKING:
    from sandbox.backend import Backend, Jail
    from sandbox.limits import Limits

_PAUSE_AFTER_FAULT_SECONDS = 1.0

logger = get_logger(__name__)


class Pool:
    """Keeps ``size`` jails ready for ``usual`` limits. A run that finds none has one started for it."""

    def __init__(self, backend: Backend, size: int, usual: Limits) -> None:
        self.backend = backend
        self._size = size
        self._usual = usual
        self._ready: deque[Jail] = deque()
        self._wanted = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self.hits = 0
        self.misses = 0

    @property
    def memory_is_counted(self) -> bool:
        """Whether a control group holds runs to their memory."""
        return self.backend.memory_is_counted

    def open(self) -> None:
        """Begin to keep jails ready."""
        if self._size and self._filling is None:
            self._filling = asyncio.create_task(self._fill())
            self._wanted.set()

    async def close(self) -> None:
        """End the jails that wait."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
            self._filling = None
        while self._ready:
            await self._ready.popleft().close()

    async def take(self, limits: Limits) -> Jail:
        """A jail for one run, the caller's to close. Raises :class:`JailStartError`."""
        if self.backend.serves(self._usual, limits):
            while self._ready:
                jail = self._ready.popleft()
                self._wanted.set()
                if jail.waiting():
                    self.hits += 1
                    return jail
                await jail.close()
        self.misses += 1
        return await self.backend.start(limits)

    def waiting(self) -> int:
        """How many jails wait now."""
        return len(self._ready)

    async def _fill(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while len(self._ready) < self._size:
                try:
                    self._ready.append(await self.backend.start(self._usual))
                except (JailStartError, OSError) as fault:
                    logger.warning("a jail for the pool did not start", reason=str(fault))
                    await asyncio.sleep(_PAUSE_AFTER_FAULT_SECONDS)

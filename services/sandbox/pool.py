"""Jails that wait, each for one run: started before they are asked for, never used twice, ended behind one's back."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from kit.log import get_logger
from sandbox.jail.faults import CannotConfineError, JailStartError

if TYPE_CHECKING:
    from sandbox.backend import Backend, Jail
    from sandbox.limits import Limits

_PAUSE_AFTER_FAULT_SECONDS = 1.0
# A short run is not to share its processor with the birth of the next jail, nor is a long one to hold that up.
_REFILL_AFTER_SECONDS = 0.02
_STARTED_AT_ONCE = 2
# Past that many jails that are being ended, a run waits for one: ending cannot fall behind without bounds.
_ENDED_AT_ONCE = 32

logger = get_logger(__name__)


class Pool:
    """Keeps ``size`` jails ready for ``usual`` limits. A run that finds none has one started for it."""

    def __init__(self, backend: Backend, size: int, usual: Limits) -> None:
        self.backend = backend
        self._size = size
        self._usual = usual
        self._open = False
        self._ready: deque[Jail] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.hits = 0
        self.misses = 0

    @property
    def memory_is_counted(self) -> bool:
        """Whether a control group holds runs to their memory."""
        return self.backend.memory_is_counted

    def open(self) -> None:
        """Begin to keep jails ready."""
        self._open = True
        self._refill()

    async def close(self) -> None:
        """End the jails that wait, and see off those that are being ended."""
        self._open = False
        for starting in self._starting:
            starting.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        while self._ready:
            self.give_back(self._ready.popleft())
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def take(self, limits: Limits) -> Jail:
        """A jail for one run, to be given back. Raises :class:`JailStartError`."""
        while len(self._ending) >= _ENDED_AT_ONCE:
            await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
        asyncio.get_running_loop().call_later(_REFILL_AFTER_SECONDS, self._refill)
        if self.backend.serves(self._usual, limits):
            while self._ready:
                jail = self._ready.popleft()
                if jail.waiting():
                    self.hits += 1
                    return jail
                self.give_back(jail)
        self.misses += 1
        return await self.backend.start(limits)

    def give_back(self, jail: Jail) -> None:
        """End a jail, now; nobody waits until it is gone."""
        jail.kill()
        ending = asyncio.create_task(jail.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ended)

    def waiting(self) -> int:
        """How many jails wait now."""
        return len(self._ready)

    def _ended(self, ending: asyncio.Task[None]) -> None:
        self._ending.discard(ending)
        if not ending.cancelled() and (fault := ending.exception()) is not None:
            logger.error("a jail could not be ended", reason=str(fault))
        self._refill()

    def _refill(self) -> None:
        """Start what is missing, few at a time."""
        while self._open and len(self._starting) < min(_STARTED_AT_ONCE, self._size - len(self._ready)):
            starting = asyncio.create_task(self._start())
            self._starting.add(starting)
            starting.add_done_callback(self._started)

    async def _start(self) -> None:
        try:
            self._ready.append(await self.backend.start(self._usual))
        except (JailStartError, CannotConfineError, OSError) as fault:
            logger.warning("a jail for the pool did not start", reason=str(fault))
            await asyncio.sleep(_PAUSE_AFTER_FAULT_SECONDS)

    def _started(self, starting: asyncio.Task[None]) -> None:
        self._starting.discard(starting)
        self._refill()

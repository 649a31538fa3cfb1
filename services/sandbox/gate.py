"""How many runs at once, how many may wait and how long, whose turn it is; past that callers are told to come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from typing import TYPE_CHECKING

from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Gate:
    """Admits ``concurrency`` runs at a time, with a bounded queue before it, fair between owners.

    A slot that becomes free goes to the waiting owner with the fewest runs going on, and among equals to the one served
    longest ago; an owner's own requests are served in order. A full queue takes a newcomer from an owner with fewer
    waiting than another in exchange for the other's newest: nobody can fill the queue against the rest.
    """

    def __init__(self, concurrency: int, queue_size: int, queue_seconds: float) -> None:
        self._free = concurrency
        self._queue_size = queue_size
        self._queue_seconds = queue_seconds
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # in the order in which owners were served

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(map(len, self._queues.values()))

    @property
    def running(self) -> int:
        """How many slots are held."""
        return self._running.total()

    @contextlib.asynccontextmanager
    async def slot(self, owner: str = "") -> AsyncIterator[None]:
        """Hold one slot. Raises the 503 problem when the queue is full or the wait too long."""
        if self._free:
            self._free -= 1
            self._running[owner] += 1
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
            self._free += 1
            self._hand_on()

    async def _wait(self, owner: str) -> None:
        if self.waiting >= self._queue_size:
            self._make_room_for(owner)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append(turn)
        try:
            async with asyncio.timeout(self._queue_seconds):
                await turn
        except TimeoutError:
            self._forget(owner, turn)
            raise _overloaded(f"no slot became free within {self._queue_seconds:g} s") from None
        except BaseException:
            self._forget(owner, turn)
            raise

    def _forget(self, owner: str, turn: asyncio.Future[None]) -> None:
        """Take a request out of the queue; a slot it was just given goes to the next."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._running[owner] -= 1
            self._free += 1
            self._hand_on()
            return
        queue = self._queues.get(owner)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[owner]

    def _make_room_for(self, owner: str) -> None:
        full = f"all slots are busy and {self._queue_size} requests wait already"
        most = max(self._queues, key=lambda name: len(self._queues[name]), default=owner)
        if len(self._queues.get(owner, ())) + 1 >= len(self._queues.get(most, ())):
            raise _overloaded(full)
        self._queues[most].pop().set_exception(_overloaded(f"{full}, most of them this caller's"))

    def _hand_on(self) -> None:
        while self._free and self._queues:
            owner = min(self._queues, key=lambda name: self._running[name])
            queue = self._queues.pop(owner)
            turn = queue.popleft()
            if queue:
                self._queues[owner] = queue  # now last among its equals
            if not turn.done():
                self._free -= 1
                self._running[owner] += 1
                turn.set_result(None)


def _overloaded(detail: str) -> Problem:
    return Problem(503, "overloaded", "The sandbox is busy", detail, headers={"Retry-After": "1"})

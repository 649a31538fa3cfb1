"""Reading descriptors from the event loop, concurrently and within bounds."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_READ_BYTES = 1 << 16


async def readable(descriptor: int) -> None:
    """Wait until ``descriptor`` can be read (a pidfd: until the process ended)."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


class Kept:
    """The first ``limit_bytes`` of a stream, and whether there was more, which is said once."""

    def __init__(self, limit_bytes: int, on_exceeded: Callable[[], None] | None = None) -> None:
        self.data = bytearray()
        self.truncated = False
        self._limit_bytes = limit_bytes
        self._on_exceeded = on_exceeded
        self._ended = asyncio.Event()

    def accept(self, chunk: bytes) -> None:
        """Keep what there is room for."""
        room = self._limit_bytes - len(self.data)
        self.data += chunk[:room]
        if len(chunk) > room and not self.truncated:
            self.truncated = True
            if self._on_exceeded is not None:
                self._on_exceeded()

    def begin(self, limit_bytes: int) -> None:
        """Count anew, up to ``limit_bytes``; what came since the last :meth:`take` is kept."""
        del self.data[limit_bytes:]
        self._limit_bytes = limit_bytes
        self.truncated = False

    def take(self) -> bytes:
        """What is kept so far, which is then forgotten."""
        taken = bytes(self.data)
        self.data.clear()
        return taken

    async def finished(self) -> None:
        """Wait for the end of the stream: every process that could write to it is gone."""
        await self._ended.wait()

    def stop(self) -> None:
        """Take no more."""
        self._ended.set()


class Drain(Kept):
    """Reads a pipe to its end as data comes."""

    def __init__(self, descriptor: int, limit_bytes: int, on_exceeded: Callable[[], None] | None = None) -> None:
        super().__init__(limit_bytes, on_exceeded)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def exhausted(self) -> bool:
        """Read what has been written already: whether that is all, for the stream has ended."""
        while not self._ended.is_set() and self._read():
            continue
        return self._ended.is_set()

    def take(self) -> bytes:
        """What is kept so far, which is then forgotten. Reads first what has been written already."""
        self.exhausted()
        return super().take()

    def stop(self) -> None:
        """Read no more."""
        if not self._ended.is_set():
            self._loop.remove_reader(self._descriptor)
            super().stop()

    def _read(self) -> bool:
        """Read what is there, once; whether there may be more that is wanted."""
        try:
            chunk = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self.stop()
            return False
        self.accept(chunk)
        return not self.truncated

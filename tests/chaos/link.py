"""A TCP link between a part and what it needs, which can be slow, cut, or dead without saying so."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 1 << 16
# Zero seconds of lingering: close() sends a reset.
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Wire:
    """One connection through the link: both its ends, and whether it still carries anything."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    carries: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        for end in (self.client, self.server):
            connection: socket.socket = end.get_extra_info("socket")
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()


class Link:
    """Listens on ``port`` and carries every connection to ``target``, on a thread of its own.

    ``slow``, ``cut`` and ``half_open`` are faults that last as long as their block.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._delay_seconds = 0.0
        self._refuses = False
        self._wires: set[_Wire] = set()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    def retarget(self, port: int) -> None:
        """Carry new connections elsewhere: what stood behind the link came back on another port."""
        self._target_port = port

    @contextmanager
    def slow(self, delay_seconds: float) -> Iterator[None]:
        """Every piece of data arrives ``delay_seconds`` late, in both directions."""
        self._delay_seconds = delay_seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Every connection is reset, and new ones are too."""
        self._refuses = True
        self._loop.call_soon_threadsafe(self._reset_all)
        try:
            yield
        finally:
            self._refuses = False

    @contextmanager
    def half_open(self) -> Iterator[None]:
        """The connections there are carry nothing any more; new ones do. At the end the dead ones are reset."""
        dead = frozenset(self._wires)
        self._loop.call_soon_threadsafe(self._freeze, dead)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._reset_all, dead)

    def _freeze(self, wires: frozenset[_Wire]) -> None:
        for wire in wires:
            wire.carries.clear()

    def _reset_all(self, wires: frozenset[_Wire] | None = None) -> None:
        for wire in wires or frozenset(self._wires):
            wire.reset()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._ending.wait()
        server.close()
        self._reset_all()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                raise ConnectionRefusedError
            onward = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
            return
        wire = _Wire(writer, onward[1])
        wire.carries.set()
        self._wires.add(wire)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(wire, reader, onward[1]))
                both.create_task(self._pump(wire, onward[0], writer))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._wires.discard(wire)
            wire.reset()

    async def _pump(self, wire: _Wire, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK_BYTES):
            if self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            await wire.carries.wait()
            sink.write(data)
            await sink.drain()
        sink.close()

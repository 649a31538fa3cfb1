"""A jail that is a container: the guest's streams multiplexed over its own by :mod:`sandbox.guest.relay`."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import socket
from typing import TYPE_CHECKING, Any

import docker.errors

from sandbox.jail.counted import Counted
from sandbox.jail.faults import GuestProtocolError, JailStartError
from sandbox.jail.pipes import Kept
from sandbox.jail.process import receive_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from docker import APIClient
    from docker.models.containers import Container

    from sandbox.limits import Limits

_SAMPLING_SECONDS = 0.2
_MAX_FRAME_BYTES = 64 << 20
_SAID_BYTES = 4000
_STDERR = 2


class ContainerJail:
    """One container, started and attached to. Its counts are the engine's."""

    def __init__(self, engine: APIClient, container: Container, attached: socket.socket) -> None:
        self.on_output_exceeded: Callable[[], None] | None = None
        self.calls: socket.socket | None = None
        self.stdout, self.stderr, self.result = Kept(0), Kept(0), Kept(0)
        self._engine = engine
        self._container = container
        self._attached = attached
        self._attached.setblocking(False)  # noqa: FBT003
        self._resources = contextlib.ExitStack()
        self._control = asyncio.StreamReader(limit=_MAX_FRAME_BYTES)
        self._guest_calls: socket.socket | None = None
        self._submitted = self._gone = self._killed = False
        self._said = Kept(_SAID_BYTES)
        self._counted = Counted(0, 0, 0.0)
        self._sending = asyncio.Lock()
        self._tasks = [asyncio.create_task(self._demultiplex())]

    async def ready(self, guest: bytes, settings: Mapping[str, Any], timeout_seconds: float) -> None:
        """Hand in the guest and wait for it. Raises :class:`JailStartError` with what the container said."""
        told = marshal.dumps(dict(settings), 2)
        async with self._sending:
            await self._write(len(guest).to_bytes(4, "big") + guest + len(told).to_bytes(4, "big") + told)
        try:
            async with asyncio.timeout(timeout_seconds):
                frame = await self.frame()
        except TimeoutError:
            raise JailStartError(f"the container was not ready within {timeout_seconds:g} s") from None
        if frame is None or frame[0] != b"H":
            said = bytes(self._said.data) or (frame[1] if frame else b"the container ended before it was ready")
            raise JailStartError(said.decode(errors="replace").strip())
        await self.ask(b"G", {})  # the engine holds it already

    def waiting(self) -> bool:
        """Whether it is alive and has not been given a job."""
        return not self._submitted and not self._gone

    async def submit(self, job: Mapping[str, Any], limits: Limits, *, result_bytes: int, calls: bool) -> None:
        """Give it its job. Its processes are held by the container: a user's limit would be shared with others."""
        self._submitted = True
        self.stdout = Kept(limits.output_bytes, self._output_exceeded)
        self.stderr = Kept(limits.output_bytes, self._output_exceeded)
        self.result = Kept(result_bytes + 2)
        if calls:
            self.calls, self._guest_calls = socket.socketpair()
            for end in (self.calls, self._guest_calls):
                end.setblocking(False)  # noqa: FBT003
                self._resources.callback(end.close)
            self._tasks.append(asyncio.create_task(self._forward_calls(self._guest_calls)))
        self._tasks.append(asyncio.create_task(self._sample()))
        own = [limit for limit in job["rlimits"] if limit[0] != "RLIMIT_NPROC"]
        await self._send(b"t", _frame(b"J", {**job, "rlimits": own}))

    async def ask(self, kind: bytes, wanted: Mapping[str, Any]) -> None:
        """Send PID 1 a frame."""
        await self._send(b"c", _frame(kind, wanted))

    async def frame(self) -> tuple[bytes, bytes] | None:
        """The next letter and payload from PID 1; None when it is gone."""
        try:
            header = await self._control.readexactly(5)
            size_bytes = int.from_bytes(header[1:], "big")
            if size_bytes > _MAX_FRAME_BYTES:
                raise GuestProtocolError(f"a frame of {size_bytes} bytes")
            return header[:1], await self._control.readexactly(size_bytes)
        except asyncio.IncompleteReadError:
            return None

    def counted(self) -> Counted:
        """The engine's latest count."""
        return self._counted

    def kill(self) -> None:
        """End every process of it."""
        if not (self._gone or self._killed):
            self._killed = True
            asyncio.get_running_loop().run_in_executor(None, self._kill)

    async def finished(self) -> None:
        """Wait until what was written has come, then end the container and have the engine count it."""
        if not self._killed:
            for kept in (self.stdout, self.stderr, self.result):
                await kept.finished()
            self.kill()
        await asyncio.gather(self._tasks[0], return_exceptions=True)
        oom_kills = await asyncio.to_thread(self._oom_killed)
        self._counted = Counted(oom_kills, self._counted.peak_bytes, self._counted.cpu_seconds)

    async def close(self) -> None:
        """Remove the container and whatever runs in it."""
        await asyncio.to_thread(self._remove)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kept in (self.stdout, self.stderr, self.result):
            kept.stop()
        self._attached.close()
        self._resources.close()

    def _output_exceeded(self) -> None:
        if self.on_output_exceeded is not None:
            self.on_output_exceeded()

    async def _send(self, channel: bytes, payload: bytes) -> None:
        async with self._sending:
            await self._write(channel + len(payload).to_bytes(4, "big") + payload)

    async def _write(self, content: bytes) -> None:
        with contextlib.suppress(OSError):  # it is gone, as the next frame will say
            await asyncio.get_running_loop().sock_sendall(self._attached, content)

    async def _demultiplex(self) -> None:
        """Docker's stream of 8-byte headers, and in its standard output the relay's frames."""
        relayed = bytearray()
        try:
            while (header := await receive_exactly(self._attached, 8)) is not None:
                content = await receive_exactly(self._attached, int.from_bytes(header[4:], "big")) or b""
                if header[0] == _STDERR:
                    self._said.accept(content)
                    continue
                relayed += content
                await self._take_frames(relayed)
        finally:
            self._gone = True
            self._control.feed_eof()
            for kept in (self.stdout, self.stderr, self.result):
                kept.stop()

    async def _take_frames(self, relayed: bytearray) -> None:
        """Give every whole frame to its channel."""
        while len(relayed) >= 5:  # noqa: PLR2004 - a letter and a length
            end = 5 + int.from_bytes(relayed[1:5], "big")
            if len(relayed) < end:
                return
            channel, payload = bytes(relayed[:1]), bytes(relayed[5:end])
            del relayed[:end]
            if channel == b"c":
                self._control.feed_data(payload)
            elif channel == b"t" and self._guest_calls is not None and payload:
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_sendall(self._guest_calls, payload)
            elif (kept := {b"1": self.stdout, b"2": self.stderr, b"r": self.result}.get(channel)) is not None:
                if payload:
                    kept.accept(payload)
                else:
                    kept.stop()

    async def _forward_calls(self, guest_calls: socket.socket) -> None:
        """What the service says on the calls socket, into the container."""
        with contextlib.suppress(OSError):
            while part := await asyncio.get_running_loop().sock_recv(guest_calls, 1 << 16):
                await self._send(b"t", part)

    async def _sample(self) -> None:
        while not self._gone:
            with contextlib.suppress(docker.errors.APIError, KeyError, ValueError):
                self._counted = await asyncio.to_thread(self._engine_count)
            await asyncio.sleep(_SAMPLING_SECONDS)

    def _engine_count(self) -> Counted:
        stats: dict[str, Any] = self._engine.stats(self._container.attrs["Id"], stream=False, one_shot=True)
        memory = stats.get("memory_stats", {})
        peak = max(self._counted.peak_bytes, memory.get("max_usage", memory.get("usage", 0)))
        cpu_seconds = stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        return Counted(self._counted.oom_kills, peak, max(self._counted.cpu_seconds, cpu_seconds))

    def _oom_killed(self) -> int:
        with contextlib.suppress(docker.errors.APIError):
            self._container.reload()
            return int(self._container.attrs["State"]["OOMKilled"])
        return 0

    def _kill(self) -> None:
        with contextlib.suppress(docker.errors.APIError):  # it has ended meanwhile
            self._container.kill()

    def _remove(self) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self._container.remove(force=True)


def _frame(kind: bytes, content: Mapping[str, Any]) -> bytes:
    encoded = marshal.dumps(dict(content), 2)
    return kind + len(encoded).to_bytes(4, "big") + encoded

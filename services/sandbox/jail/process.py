"""One jail as a process: started, given its job, listened to, ended. Every descriptor it opens it closes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import marshal
import os
import signal
import socket
import struct
import subprocess
from typing import TYPE_CHECKING, Any, Self

from sandbox.jail import arguments
from sandbox.jail.faults import JailStartError
from sandbox.jail.pipes import Drain, readable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from sandbox.jail.account import Account

_CREDENTIALS = struct.Struct("3i")
_FRAME_HEADER = struct.Struct(">cI")
_MAX_FRAME_BYTES = 1 << 30
_START_ERROR_BYTES = 2000


class JailProcess:
    """A started jail. Use it as an asynchronous context: leaving it kills whatever is left and reaps it.

    Must be made on the event loop's thread: a jail dies with the thread that started it.
    """

    def __init__(
        self,
        layout: arguments.Layout,
        account: Account,
        seccomp: bytes,
        *,
        disk_bytes: int,
        output_bytes: int,
        result_bytes: int,
    ) -> None:
        self.output_exceeded = asyncio.Event()
        self.init_pid = 0
        self.cpu_seconds = 0.0
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._control, control = _socket_pair(ours, theirs)
            out, err, res = (_pipe(ours, theirs, account) for _ in range(3))
            descriptors = arguments.Descriptors(
                seccomp=_content(theirs, seccomp),
                guest=_content(theirs, layout.guest),
                passwd=_content(theirs, arguments.PASSWD.encode()),
                group=_content(theirs, arguments.GROUP.encode()),
                control=control.fileno(),
                result=res[1],
            )
            command = arguments.command_line(layout, disk_bytes, descriptors)
            self._process = _start(command, descriptors, out, err, account)
            self._resources = ours.pop_all()
        self.pid = self._process.pid
        self._bubblewrap = self._process_descriptor(self.pid)
        self._init = self._bubblewrap
        self.stdout = Drain(out[0], output_bytes, self.output_exceeded.set)
        self.stderr = Drain(err[0], output_bytes, self.output_exceeded.set)
        self.result = Drain(res[0], result_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        try:
            await self._reap()
        finally:
            for drain in (self.stdout, self.stderr, self.result):
                drain.stop()
            self._resources.close()

    async def ready(self, timeout_seconds: float) -> None:
        """Wait for the guest; ``init_pid`` is then its PID as the kernel, not the guest, gives it.

        Raises :class:`JailStartError` with what bubblewrap said.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                await readable(self._control.fileno())
        except TimeoutError:
            raise JailStartError(f"the jail was not ready within {timeout_seconds:g} s") from None
        data, ancillary, _, _ = self._control.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            await self._reap()
            await self.stderr.finished()
            said = bytes(self.stderr.data[:_START_ERROR_BYTES]).decode(errors="replace").strip()
            raise JailStartError(said or f"bubblewrap ended with status {self._process.returncode}")
        [(_, _, credentials)] = ancillary
        self.init_pid = _CREDENTIALS.unpack(credentials)[0]
        self._init = self._process_descriptor(self.init_pid)

    async def submit(self, job: Mapping[str, Any]) -> None:
        """Give the guest its job. Marshalled, which costs the guest no import; only ever in this direction."""
        encoded = marshal.dumps(dict(job), 2)
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._control, len(encoded).to_bytes(4, "big") + encoded)

    async def frame(self) -> tuple[bytes, bytes] | None:
        """The next letter and payload from the guest; None when it is gone."""
        header = await self._receive(_FRAME_HEADER.size)
        if header is None:
            return None
        kind, size_bytes = _FRAME_HEADER.unpack(header)
        if size_bytes > _MAX_FRAME_BYTES:
            return None
        payload = await self._receive(size_bytes)
        return None if payload is None else (kind, payload)

    def kill(self) -> None:
        """End every process of the jail. Its PID 1 first: then bubblewrap itself reaps it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    async def finished(self) -> None:
        """Wait until every process of the jail is gone and everything it wrote has been read."""
        await self._reap()
        for drain in (self.stdout, self.stderr, self.result):
            await drain.finished()

    async def _reap(self) -> None:
        if self._process.returncode is None:
            await readable(self._bubblewrap)
            _, status, usage = os.wait4(self._process.pid, 0)  # noqa: ASYNC222 - it has ended
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_seconds = usage.ru_utime + usage.ru_stime

    def _process_descriptor(self, pid: int) -> int:
        """A name for a process that cannot come to mean another."""
        descriptor = os.pidfd_open(pid)
        self._resources.callback(os.close, descriptor)
        return descriptor

    async def _receive(self, size_bytes: int) -> bytes | None:
        loop, received = asyncio.get_running_loop(), bytearray()
        while len(received) < size_bytes:
            try:
                part = await loop.sock_recv(self._control, min(size_bytes - len(received), 1 << 20))
            except ConnectionError:
                return None
            if not part:
                return None
            received += part
        return bytes(received)


def _start(
    command: list[str],
    inherited: arguments.Descriptors,
    out: tuple[int, int],
    err: tuple[int, int],
    account: Account,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out[1],
            stderr=err[1],
            pass_fds=dataclasses.astuple(inherited),
            cwd="/",
            env={},
            umask=0o022,
            start_new_session=True,
            **account.popen_arguments(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise JailStartError(str(error)) from error


def _socket_pair(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    service, guest = socket.socketpair()
    ours.callback(service.close)
    theirs.callback(guest.close)
    service.setblocking(False)  # noqa: FBT003
    # The kernel stamps the guest's first byte with its PID as seen from here.
    service.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return service, guest


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack, account: Account) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    if account.change:
        os.fchown(writing, account.uid, account.gid)  # or the program could not open /dev/stdout by name
    return reading, writing


def _content(theirs: contextlib.ExitStack, content: bytes) -> int:
    """A descriptor bubblewrap reads ``content`` from. One for each jail: they would share its offset."""
    descriptor = os.memfd_create("jail")
    theirs.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

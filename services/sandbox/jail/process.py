"""One jail as the service holds it: forked, given its job, listened to, ended. Every descriptor it opens it closes."""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import select
import signal
import socket
import struct
from typing import TYPE_CHECKING, Any

from sandbox.guest.wire import PIPES
from sandbox.jail.faults import GuestProtocolError, JailStartError
from sandbox.jail.pipes import Drain, readable
from sandbox.jail.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.jail.account import Account
    from sandbox.jail.cgroup import CGroups, RunGroup
    from sandbox.jail.counted import Counted
    from sandbox.jail.template import Template
    from sandbox.limits import Limits

_CREDENTIALS = struct.Struct("3i")
_FRAME_HEADER = struct.Struct(">cI")
_MAX_FRAME_BYTES = 64 << 20


class JailProcess:
    """A jail forked from a template. :meth:`ready`, :meth:`hold`, one :meth:`submit`; :meth:`close` whatever happens.

    PID 1 is spoken to on the control socket; the program takes its job on one of its own, which is then its way to call
    tools, if it has any.
    """

    def __init__(self, template: Template, account: Account, disk_bytes: int) -> None:
        self.on_output_exceeded: Callable[[], None] | None = None
        self.init_pid = 0
        self._group: RunGroup | None = None
        self._resources = contextlib.ExitStack()
        self._init: int | None = None
        self._killed = False
        self._drains: tuple[Drain, ...] = ()
        self.calls: socket.socket | None = None
        with contextlib.ExitStack() as theirs:
            self._control, control = _socket_pair(self._resources, theirs)
            self._jobs, jobs = _socket_pair(self._resources, theirs)
            pipes = [_pipe(self._resources, theirs, account) for _ in range(PIPES)]
            self._reading = [reading for reading, _ in pipes]
            # The kernel stamps the guest's first bytes with its PID as seen from here.
            self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            try:
                template.fork_jail(control, jobs, [writing for _, writing in pipes], disk_bytes)
            except BaseException:
                self._resources.close()
                raise

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the jail is gone."""
        self._resources.callback(callback)

    async def ready(self, timeout_seconds: float) -> None:
        """Wait for PID 1; ``init_pid`` is then its PID as the kernel, not the guest, gives it."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await readable(self._control.fileno())
        except TimeoutError:
            raise JailStartError(f"the jail was not ready within {timeout_seconds:g} s") from None
        data, ancillary, _, _ = self._control.recvmsg(_FRAME_HEADER.size, socket.CMSG_SPACE(_CREDENTIALS.size))
        if len(data) < _FRAME_HEADER.size:
            raise JailStartError("the jail ended before it was ready")
        kind, size_bytes = _FRAME_HEADER.unpack(data)
        if kind != b"H":
            said = await self._receive(min(size_bytes, _MAX_FRAME_BYTES)) or b""
            raise JailStartError(said.decode(errors="replace"))
        [(_, _, credentials)] = ancillary
        self.init_pid = _CREDENTIALS.unpack(credentials)[0]
        self._init = os.pidfd_open(self.init_pid)
        self._resources.callback(os.close, self._init)
        self._tree = ProcessTree(self.init_pid)

    async def hold(self, groups: CGroups | None, limits: Limits) -> None:
        """Have a control group hold PID 1, and then let it fork the program."""
        if groups is not None:
            # On another thread, for the kernel takes its time; not lost when the wait for it is cancelled.
            holding = asyncio.get_running_loop().run_in_executor(None, groups.hold, self.init_pid, limits)
            try:
                self._group = await asyncio.shield(holding)
            except asyncio.CancelledError:
                holding.add_done_callback(_remove_held)
                raise
            except OSError as error:
                raise JailStartError(f"no control group can be made: {error}") from error
        await self.ask(b"G", {})

    def waiting(self) -> bool:
        """Whether it is alive, has said nothing, and has not been given a job."""
        return self._init is not None and not self._drains and not _any_readable(self._init, self._control.fileno())

    async def submit(self, job: Mapping[str, Any], limits: Limits, *, result_bytes: int, calls: bool) -> None:
        """Hold the jail to its limits and give the program its job.

        The job is marshalled, which costs the guest no import; only ever in this direction.
        """
        if self._group is not None:
            self._group.set_limits(limits)
        stdout, stderr, result = self._reading
        self.stdout = Drain(stdout, limits.output_bytes, self._output_exceeded)
        self.stderr = Drain(stderr, limits.output_bytes, self._output_exceeded)
        self.result = Drain(result, result_bytes + 2)  # its letter and its line's end
        self._drains = (self.stdout, self.stderr, self.result)
        await _send(self._jobs, b"J", job)
        if calls:
            self.calls = self._jobs
        else:
            self._jobs.close()

    async def ask(self, kind: bytes, wanted: Mapping[str, Any]) -> None:
        """Ask PID 1 to fork the program (``G``), interrupt it (``I``) or collect files (``C``)."""
        await _send(self._control, kind, wanted)

    async def frame(self) -> tuple[bytes, bytes] | None:
        """The next letter and payload from PID 1; None when it is gone."""
        header = await self._receive(_FRAME_HEADER.size)
        if header is None:
            return None
        kind, size_bytes = _FRAME_HEADER.unpack(header)
        if size_bytes > _MAX_FRAME_BYTES:
            raise GuestProtocolError(f"a frame of {size_bytes} bytes")
        payload = await self._receive(size_bytes)
        return None if payload is None else (kind, payload)

    def counted(self) -> Counted:
        """What the run has used so far, by its control group where it has one."""
        return self._group.counted() if self._group is not None else self._tree.counted()

    def kill(self) -> None:
        """End every process of the jail, by ending its PID 1."""
        self._killed = True
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)

    async def finished(self) -> None:
        """Wait until everything the program wrote has been read: it, and all it left, has ended or been killed."""
        if self._killed and self._init is not None and not _any_readable(self._init):
            await readable(self._init)
        self._jobs.close()  # with what may lie unread in it: a pipe's end, held open
        for drain in self._drains:
            if not drain.exhausted():
                await drain.finished()

    async def close(self) -> None:
        """Kill what is left, wait until it is gone, and give everything back."""
        self.kill()
        try:
            if self._init is not None and not _any_readable(self._init):
                await readable(self._init)
        finally:
            for drain in self._drains:
                drain.stop()
            self._init = None
            self._resources.close()
            if self._group is not None:  # what the kernel still calls busy is tried again with a later one
                await asyncio.to_thread(self._group.remove)

    def _output_exceeded(self) -> None:
        if self.on_output_exceeded is not None:
            self.on_output_exceeded()

    async def _receive(self, size_bytes: int) -> bytes | None:
        return await receive_exactly(self._control, size_bytes)


async def _send(connection: socket.socket, kind: bytes, content: Mapping[str, Any]) -> None:
    """One frame."""
    encoded = marshal.dumps(dict(content), 2)
    with contextlib.suppress(OSError):  # it is gone, as the next frame will say
        await asyncio.get_running_loop().sock_sendall(connection, _FRAME_HEADER.pack(kind, len(encoded)) + encoded)


async def receive_exactly(connection: socket.socket, size_bytes: int) -> bytes | None:
    """``size_bytes`` from ``connection``; None when it ended before."""
    loop, received = asyncio.get_running_loop(), bytearray()
    while len(received) < size_bytes:
        try:
            part = await loop.sock_recv(connection, min(size_bytes - len(received), 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        received += part
    return bytes(received)


def _any_readable(*descriptors: int) -> bool:
    """Whether any can be read now (a pidfd: whether the process has ended)."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _remove_held(holding: asyncio.Future[RunGroup]) -> None:
    if not holding.cancelled() and holding.exception() is None:
        holding.result().remove()


def _socket_pair(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    service, guest = socket.socketpair()
    ours.callback(service.close)
    theirs.callback(guest.close)
    service.setblocking(False)  # noqa: FBT003
    return service, guest


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack, account: Account) -> tuple[int, int]:
    reading, writing = os.pipe()
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    if account.change:
        os.fchown(writing, account.uid, account.gid)  # or the program could not open /dev/stdout by name
    return reading, writing

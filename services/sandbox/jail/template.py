"""The template: bubblewrap's jail around an interpreter that forks jails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import marshal
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from sandbox.guest.wire import DISK_BYTES_WIDTH
from sandbox.jail import arguments
from sandbox.jail.faults import CannotConfineError, JailStartError
from sandbox.jail.pipes import Drain, readable

if TYPE_CHECKING:
    from sandbox.jail.account import Account

_FACTS_BYTES = 1 << 16
_SAID_BYTES = 4000


@dataclasses.dataclass(frozen=True, slots=True)
class Filters:
    """seccomp programs: the template's, which may still make namespaces and mount, and the jails'."""

    template: bytes
    jail: bytes


class Template:
    """A started template. It must be started on the event loop's thread: it dies with the thread that started it."""

    def __init__(self, layout: arguments.Layout, account: Account, filters: Filters) -> None:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._nursery, nursery = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(self._nursery.close)
            theirs.callback(nursery.close)
            self._nursery.setblocking(False)  # noqa: FBT003
            said, saying = os.pipe()
            ours.callback(os.close, said)
            theirs.callback(os.close, saying)
            os.set_blocking(said, False)
            proc = None if layout.fresh_proc else _open_proc(theirs)
            descriptors = arguments.Descriptors(
                seccomp=_content(theirs, filters.template),
                guest=_content(theirs, layout.guest),
                passwd=_content(theirs, arguments.PASSWD.encode()),
                group=_content(theirs, arguments.GROUP.encode()),
                nursery=nursery.fileno(),
                settings=_content(theirs, marshal.dumps(_settings(layout, filters, proc), 2)),
            )
            inherited = [*dataclasses.astuple(descriptors), *([] if proc is None else [proc])]
            self._process = _start(arguments.command_line(layout, descriptors), inherited, saying, account)
            self._pidfd = os.pidfd_open(self._process.pid)
            ours.callback(os.close, self._pidfd)
            self._resources = ours.pop_all()
        self.pid = self._process.pid
        self._said = Drain(said, _SAID_BYTES)
        self.facts: dict[str, Any] = {}

    async def ready(self, timeout_seconds: float) -> None:
        """Wait until it can fork. Raises :class:`JailStartError` with what bubblewrap or the interpreter said."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await readable(self._nursery.fileno())
        except TimeoutError:
            raise JailStartError(f"the template was not ready within {timeout_seconds:g} s") from None
        try:
            facts = self._nursery.recv(_FACTS_BYTES)
        except ConnectionError:
            facts = b""
        if not facts:
            raise JailStartError(await self._last_words())
        self.facts = json.loads(facts)
        self._check_preload()

    def alive(self) -> bool:
        """Whether it can still fork."""
        return self._process.poll() is None

    def fork_jail(self, control: socket.socket, jobs: socket.socket, pipes: list[int], disk_bytes: int) -> None:
        """Have a jail made whose PID 1 speaks over the one socket, and whose program waits on the other."""
        wanted = disk_bytes.to_bytes(DISK_BYTES_WIDTH, "big")
        try:
            socket.send_fds(self._nursery, [wanted], [control.fileno(), jobs.fileno(), *pipes])
        except OSError as error:
            raise JailStartError(f"the template is gone or busy: {error}") from error

    def close(self) -> None:
        """End it and every jail it forked."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._process.wait()
        self._said.stop()
        self._resources.close()

    def _check_preload(self) -> None:
        if faults := self.facts["faults"]:
            told = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
            raise CannotConfineError(
                f"a package of ASTROLABE_SANDBOX_PRELOAD cannot be imported ({told})",
                "install it into the interpreter of ASTROLABE_SANDBOX_PYTHON, or preload without it",
            )
        if self.facts["threads"] > 1:
            raise CannotConfineError(
                f"preloading starts {self.facts['threads'] - 1} threads, which a fork would lose",
                "leave the package that starts threads on import out of ASTROLABE_SANDBOX_PRELOAD",
            )

    async def _last_words(self) -> str:
        await readable(self._pidfd)
        self._process.wait()
        await self._said.finished()
        said = bytes(self._said.data).decode(errors="replace").strip()
        return said or f"bubblewrap ended with status {self._process.returncode}"


def _settings(layout: arguments.Layout, filters: Filters, proc: int | None) -> dict[str, object]:
    """What the template and its jails are told."""
    return {
        "in_container": False,
        "fresh_proc": layout.fresh_proc,
        "proc_descriptor": proc,
        "landlock": layout.landlock,
        "readable": layout.readable(),
        "seccomp": filters.jail,
        "preload": list(layout.preload),
        "tmp_bytes": layout.tmp_bytes,
        "shm_bytes": layout.shm_bytes,
        "inodes": layout.inodes,
    }


def _open_proc(theirs: contextlib.ExitStack) -> int:
    """Where the template gets no /proc: a handle on the service's, closed in each jail once its identity is written."""
    descriptor = os.open("/proc", os.O_PATH)
    theirs.callback(os.close, descriptor)
    return descriptor


def _start(command: list[str], inherited: list[int], saying: int, account: Account) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=saying,
            pass_fds=inherited,
            cwd="/",
            env={},
            umask=0o022,
            start_new_session=True,
            **account.popen_arguments(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise JailStartError(str(error)) from error


def _content(theirs: contextlib.ExitStack, content: bytes) -> int:
    """A descriptor ``content`` can be read from."""
    descriptor = os.memfd_create("jail")
    theirs.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

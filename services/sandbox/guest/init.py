"""PID 1 of a jail: takes one job, forks the program, ends everything it leaves, and reports what the kernel counted.

The program cannot signal it (PID 1 is deaf to its own namespace), nor trace it or open its memory or descriptors (it
is not dumpable), and never inherits the control socket: the wait status it reports is the kernel's.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import resource
import select
from typing import TYPE_CHECKING

from sandbox.guest import collect, confine, program
from sandbox.guest.wire import receive, send

if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn


def main(control: socket.socket, settings: dict[str, Any], passed: list[int] | None = None) -> NoReturn:
    """The whole life of a jail; leaving ends every process in it.

    ``passed``: the program's descriptors, where a container confines and none can come with the job.
    """
    try:
        _live(control, settings, passed)
    except EOFError:
        pass  # the service is gone
    except BaseException as error:  # noqa: BLE001 - there is nobody else to tell
        report_failure(control, error)
    os._exit(0)


def report_failure(control: socket.socket, error: BaseException) -> None:
    """Tell the service, as far as that is still possible, that this jail cannot be."""
    with contextlib.suppress(OSError):
        send(control.fileno(), b"X", f"{type(error).__name__}: {error}".encode(errors="replace")[:1000])


def _live(control: socket.socket, settings: dict[str, Any], passed: list[int] | None) -> None:
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    if passed is None:
        confine.enter(settings)
    send(control.fileno(), b"H", b"")
    _, job, descriptors = receive(control)
    if passed is None:
        confine.mount_box(settings, job["disk_bytes"])
    else:
        descriptors = passed
    confine.close(settings)
    stdin = _prepare(job)
    first = os.fork()
    if first == 0:
        control.close()
        program.main(job, stdin, descriptors)
    for descriptor in (stdin, *descriptors):
        os.close(descriptor)
    with contextlib.suppress(ProcessLookupError):
        if job["session"]:
            _serve_session(control, first)
    send(control.fileno(), b"E", b"%d %d %d %d" % _end(first))
    collect.collect(control.fileno(), job["collect"])


def _prepare(job: dict[str, Any]) -> int:
    """Write the input files and the program, before any of the program's own code exists."""
    box = os.open(confine.BOX, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for path, content in job["files"]:
        collect.write_beneath(box, path, content)
    os.close(box)
    with open(program.PATH, "xb") as file:  # noqa: PTH123 - pathlib is an import to pay
        file.write(job["code"].encode())
    return program.memory_file(job["stdin"].encode())


def _end(first: int) -> tuple[int, int, int, int]:
    """Wait for the program, end all it left behind, and say what the kernel counted for the whole tree."""
    while True:
        ended, status = os.wait()
        if ended == first:
            break
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(-1, _signal.SIGKILL)
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss * 1024


def _serve_session(control: socket.socket, first: int) -> None:
    """Until the session's interpreter ends: pass on interrupts, collect files, reap what it orphans."""
    interpreter = os.pidfd_open(first)
    poll = select.poll()
    poll.register(interpreter, select.POLLIN)
    poll.register(control, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(1000)}
        if interpreter in ready:
            os.close(interpreter)
            return
        _reap_orphans(first)
        if control.fileno() in ready:
            _serve(control, first)


def _serve(control: socket.socket, first: int) -> None:
    kind, wanted, _ = receive(control)
    if kind == b"I":
        os.kill(first, _signal.SIGINT)
    elif kind == b"C":
        collect.collect(control.fileno(), wanted)


def _reap_orphans(first: int) -> None:
    """Whatever has ended but the interpreter, whose wait status is for the end."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == first:
                return
            os.waitpid(ended.si_pid, 0)

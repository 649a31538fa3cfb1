"""PID 1 of a jail: closes it, forks the program that waits for a job, ends everything it leaves, reports what counts.

It is ready before there is a job, and sees none: the program is given its job on a socket of its own. The program
cannot signal PID 1 (it is deaf to its own namespace), nor trace it or open its memory or descriptors (it is not
dumpable), and never inherits the control socket: the wait status it reports is the kernel's.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import resource
import select
from typing import TYPE_CHECKING

from sandbox.guest import collect, confine, kernel, program
from sandbox.guest.wire import receive, send

if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn

NAME = "sandbox-init"


def main(control: socket.socket, jobs: socket.socket, pipes: list[int], settings: dict[str, Any]) -> NoReturn:
    """The whole life of a jail; leaving ends every process in it.

    ``pipes``: where the program's output, its errors and its result go.
    """
    try:
        _live(control, jobs, pipes, settings)
    except EOFError:
        pass  # the service is gone
    except BaseException as error:  # noqa: BLE001 - there is nobody else to tell
        report_failure(control, error)
    os._exit(0)


def report_failure(control: socket.socket, error: BaseException) -> None:
    """Tell the service, as far as that is still possible, that this jail cannot be."""
    with contextlib.suppress(OSError):
        send(control.fileno(), b"X", f"{type(error).__name__}: {error}".encode(errors="replace")[:1000])


def _live(control: socket.socket, jobs: socket.socket, pipes: list[int], settings: dict[str, Any]) -> None:
    if not settings["in_container"]:
        confine.enter(settings)
    confine.close(settings)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    children = kernel.child_signals()
    send(control.fileno(), b"H", b"")
    receive(control)  # once the control group holds this process, and so whatever it forks
    kernel.set_name(program.WAITING_NAME)  # the program's, from its first moment on
    first = os.fork()
    if first == 0:
        control.close()
        os.close(children)
        program.main(jobs, pipes)
    kernel.set_name(NAME)
    jobs.close()
    for descriptor in pipes:
        os.close(descriptor)
    _supervise(control, children, first)


def _supervise(control: socket.socket, children: int, first: int) -> None:
    """Reap what ends, report the program's end, and do what the service asks, until it closes the control socket."""
    running = True
    poll = select.poll()
    poll.register(children, select.POLLIN)
    poll.register(control, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        if children in ready:
            os.read(children, kernel.SIGNAL_INFORMATION_BYTES)
            if running and _reap_orphans(first):
                running = False
                send(control.fileno(), b"E", b"%d %d %d %d" % _end(first))
        if control.fileno() in ready:
            _obey(control, first if running else None)


def _obey(control: socket.socket, running: int | None) -> None:
    kind, wanted = receive(control)
    if kind == b"I" and running is not None:
        os.kill(running, _signal.SIGINT)
    elif kind == b"C":
        collect.collect(control.fileno(), wanted)


def _reap_orphans(first: int) -> bool:
    """Reap whatever has ended but the program, whose wait status is for the end: whether the program has."""
    while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if ended.si_pid == first:
            return True
        os.waitpid(ended.si_pid, 0)
    return False


def _end(first: int) -> tuple[int, int, int, int]:
    """The program's wait status; all it left behind is ended; what the kernel counted for the whole tree."""
    _, status = os.waitpid(first, 0)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(-1, _signal.SIGKILL)
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss * 1024

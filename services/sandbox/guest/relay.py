"""PID 1 of a container: everything of a jail over the two streams a container has.

In its standard input come the guest's settings and then frames, on its standard output go frames, each a letter of a
channel, a 4-byte length and a payload: ``c`` the control socket's bytes, ``1``
``2`` ``r`` what was written to standard output, error and the result pipe, ``t`` the program's socket's; empty at its
end.
The jail's own PID 1 becomes the first child here, and adopts what the program leaves.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from sandbox.guest import init, kernel, program
from sandbox.guest.wire import read_exactly, send

if TYPE_CHECKING:
    from typing import NoReturn

READ_BYTES = 1 << 16


def main() -> NoReturn:
    """Fork the jail's PID 1 and relay until it and all it held is gone."""
    settings = marshal.loads(read_exactly(0, int.from_bytes(read_exactly(0, 4), "big")))  # noqa: S302 - the service's
    settings["landlock"] = kernel.landlock_abi() if settings["landlock"] else 0
    kernel.set_dumpable(0)  # the program has this process's uid, and must not open its memory or descriptors
    program.hide_guest()
    control, inner = socket.socketpair()
    jobs, program_jobs = socket.socketpair()
    pipes = [os.pipe() for _ in range(3)]
    if os.fork() == 0:
        for descriptor in (control.fileno(), jobs.fileno(), *(pipe[0] for pipe in pipes)):
            os.close(descriptor)
        kernel.become_subreaper()
        init.main(inner, program_jobs, [writing for _, writing in pipes], settings)
    inner.close()
    program_jobs.close()
    for _, writing in pipes:
        os.close(writing)
    outward = {control.fileno(): b"c", jobs.fileno(): b"t"}
    outward |= {pipe[0]: letter for pipe, letter in zip(pipes, (b"1", b"2", b"r"))}  # noqa: B905 - three and three
    with contextlib.suppress(OSError, EOFError):
        _pump(outward, control, jobs)
    os._exit(0)


def _pump(outward: dict[int, bytes], control: socket.socket, jobs: socket.socket) -> None:
    poll = select.poll()
    for descriptor in (0, *outward):
        poll.register(descriptor, select.POLLIN)
    while outward:
        for descriptor, _ in poll.poll():
            if descriptor == 0:
                _inward(control, jobs)
                continue
            content = os.read(descriptor, READ_BYTES)
            send(1, outward[descriptor], content)
            if not content:
                poll.unregister(descriptor)
                if outward.pop(descriptor) == b"c":
                    _end_all()


def _inward(control: socket.socket, jobs: socket.socket) -> None:
    header = read_exactly(0, 5)
    payload = read_exactly(0, int.from_bytes(header[1:], "big"))
    with contextlib.suppress(OSError):  # the program closed its end
        (jobs if header[:1] == b"t" else control).sendall(payload)


def _end_all() -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)

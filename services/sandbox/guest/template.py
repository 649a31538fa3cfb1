"""An interpreter that has imported everything, and forks one jail for each pair of sockets it is handed."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps in enumerations, one of the slowest imports
import gc
import importlib
import json
import marshal
import os
import socket
import sys
from typing import TYPE_CHECKING

from sandbox.guest import init, kernel, program
from sandbox.guest.wire import DISK_BYTES_WIDTH, PIPES

if TYPE_CHECKING:
    from typing import Any, NoReturn

# What the guest itself imports only when it must; imported here it costs a run nothing.
STANDARD = ("re", "traceback", "linecache", "opcode", "threading", "ast", "encodings.idna", "stringprep")


def main(nursery_descriptor: int, settings_descriptor: int) -> NoReturn:
    """Make ready, say so, then fork until the service closes the nursery."""
    nursery = socket.socket(fileno=nursery_descriptor)
    with open(settings_descriptor, "rb") as file:
        settings: dict[str, Any] = marshal.load(file)  # noqa: S302 - from the service
    facts = _prepare(settings)
    nursery.send(json.dumps(facts).encode())
    while True:
        control, jobs, pipes, settings["disk_bytes"] = _next_jail(nursery)
        try:
            child = kernel.clone_into_namespaces()
        except OSError as error:
            init.report_failure(control, error)
            child = 1
        if child == 0:
            nursery.close()
            init.main(control, jobs, pipes, settings)
        control.close()
        jobs.close()
        for pipe in pipes:
            os.close(pipe)


def _prepare(settings: dict[str, Any]) -> dict[str, Any]:
    """Import, become deaf to what the ended jails leave, and put everything out of the garbage collector's way."""
    sys.argv[:] = [""]
    del sys.path[0]  # this archive
    # Python handles SIGINT, and PID 1 is only deaf to signals it has no handler for.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    faults = {}
    for name in (*STANDARD, *settings["preload"]):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a package does on import, the operator is told
            faults[name] = f"{type(error).__name__}: {error}"
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)  # the kernel reaps
    program.hide_guest()
    gc.collect()
    gc.freeze()  # or the programs' collections would copy every page of what is here already
    threads = sys._current_frames()  # noqa: SLF001 - threading does not know threads that C code started
    settings["landlock"] = kernel.landlock_abi() if settings["landlock"] else 0
    return {"landlock": settings["landlock"], "faults": faults, "threads": max(len(threads), _kernel_threads())}


def _kernel_threads() -> int:
    """Forking copies one thread: an import that started others would leave programs with half a library."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        return 1


def _next_jail(nursery: socket.socket) -> tuple[socket.socket, socket.socket, list[int], int]:
    """The sockets of its PID 1 and of its program, the program's pipes, and the size of its working directory."""
    message, descriptors, _, _ = socket.recv_fds(nursery, DISK_BYTES_WIDTH, 2 + PIPES)
    if not message:
        os._exit(0)
    control, jobs = (socket.socket(fileno=descriptor) for descriptor in descriptors[:2])
    return control, jobs, descriptors[2:], int.from_bytes(message, "big")

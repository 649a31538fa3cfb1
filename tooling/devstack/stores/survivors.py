"""Processes that still use a data folder although their launcher is gone.

Both stores change into their data folder, and so do Postgres' backends: the working directory tells exactly who still
touches the data. A process id in ``postmaster.pid`` does not: after ``kill -9`` it may be a zombie, or a stranger
that was given the same number. The program's name is asked for as well, so that a developer's shell that happens to
stand there is left alone.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

from devstack.errors import DevstackError

# Fast shutdown for a postmaster, immediate for backends without one; SIGTERM for Redis; then no more asking.
ESCALATION = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


def users_of(folder: Path, program: str) -> list[int]:
    """The processes of ``program`` whose working directory is ``folder``. Zombies have none and do not count."""
    wanted = str(folder.resolve())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if str((entry / "cwd").readlink()) == wanted and _runs(entry, program):
                    found.append(int(entry.name))
    return found


def evict(folder: Path, program: str) -> None:
    """End every process of ``program`` that works in ``folder``, politely first; return when the last one has gone."""
    for number, seconds in ESCALATION:
        remaining = users_of(folder, program)
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + seconds
        for pid in remaining:
            wait_for_exit(pid, deadline - time.monotonic())
        if not users_of(folder, program):
            return
    remaining = users_of(folder, program)
    raise DevstackError(f"processes {remaining} still use {folder} and do not end; stop them and start again")


def _runs(entry: Path, program: str) -> bool:
    """The executable's name, even when its file was replaced while it ran ("postgres (deleted)")."""
    return (entry / "exe").readlink().name.split(" ")[0] == program


def wait_for_exit(pid: int, seconds: float) -> bool:
    """Wait for any process, not only a child, to end. True when it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([handle], [], [], max(0.0, seconds))
    finally:
        os.close(handle)
    return bool(ready)

"""The launcher's descendants, adopted when their parent dies: "nothing is left" is checked, not hoped for."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LOOK_SECONDS = 0.02


def adopt_orphans() -> None:
    """Become the parent, in place of init, of every descendant whose own parent dies (subreaper, see prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def descendants(root: int | None = None) -> dict[int, str]:
    """Every process below ``root``, this process by default, with its command line."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                children.setdefault(_parent_of(entry), []).append(int(entry.name))
    found: dict[int, str] = {}
    unseen = children.get(root or os.getpid(), [])
    while unseen:
        pid = unseen.pop()
        with suppress(OSError):
            found[pid] = _command_of(Path("/proc") / str(pid))
        unseen += children.get(pid, [])
    return found


def remaining_after(seconds: float) -> dict[int, str]:
    """The descendants still there after ``seconds``, at once empty when there are none. Reaps those that ended."""
    deadline = time.monotonic() + seconds
    while True:
        _reap()
        found = descendants()
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(LOOK_SECONDS)


def kill_all(pids: dict[int, str]) -> None:
    """The last resort, for processes that escaped every orderly stop."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    remaining_after(2.0)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _parent_of(entry: Path) -> int:
    # The command name, in parentheses, may itself contain spaces and parentheses.
    return int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def _command_of(entry: Path) -> str:
    return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()

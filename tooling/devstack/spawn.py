"""Start processes that cannot outlive the launcher, and see them off."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping, Sequence

TETHER = Path(__file__).with_name("tether.py")
# How often a wait looks whether it should hurry.
GLANCE_SECONDS = 0.05


class Identity(Protocol):
    """Whom a process runs as."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...


def tethered(
    command: Sequence[str | Path],
    *,
    dies_by: signal.Signals,
    parent: str | None = None,
    identity: Identity | None = None,
    extra: Sequence[str] = (),
) -> list[str]:
    """``command`` wrapped so that the kernel sends it ``dies_by`` when its parent (this process, by default) dies."""
    options = ["--signal", dies_by.name.removeprefix("SIG"), "--parent", parent or str(os.getpid()), *extra]
    if identity is not None:
        options += ["--user", f"{identity.uid}:{identity.gid}"]
    return [sys.executable, "-I", "-S", str(TETHER), *options, "--", *map(str, command)]


def spawn(
    command: Sequence[str | Path],
    *,
    dies_by: signal.Signals,
    identity: Identity | None = None,
    extra: Sequence[str] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` tethered to this process, in its own session: a terminal's Ctrl-C reaches the launcher only.

    Output goes to the end of ``log``, or where this process writes when there is none.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn from the main thread: a death signal follows the thread that forked, not the process")
    wrapped = tethered(command, dies_by=dies_by, identity=identity, extra=extra)
    if log is None:
        return subprocess.Popen(wrapped, stdin=subprocess.DEVNULL, cwd=cwd, env=env, start_new_session=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )


def never() -> bool:
    """The patience of a launcher nobody hurries."""
    return False


def exited_within(process: subprocess.Popen[bytes], seconds: float, hurried: Callable[[], bool] = never) -> bool:
    """Wait for ``process`` to end, and reap it; False when the time is up or ``hurried`` says so first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not hurried():
        try:
            process.wait(GLANCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return True
    return process.poll() is not None


def end(
    process: subprocess.Popen[bytes],
    escalation: Sequence[tuple[signal.Signals, float]],
    hurried: Callable[[], bool] = never,
) -> None:
    """Send each signal in turn, giving ``process`` its seconds to obey; the last one is expected to be final."""
    for index, (number, seconds) in enumerate(escalation):
        last = index == len(escalation) - 1
        process.send_signal(number)
        if exited_within(process, seconds, never if last else hurried):
            return
    raise TimeoutError(f"process {process.pid} does not end, not even by {escalation[-1][0].name}")

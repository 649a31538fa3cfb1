"""Run a command that dies with the process that started it.

``python -I -S tether.py --signal INT --parent PID [--user UID:GID] [--announce NAME] [--unset NAME] -- COMMAND ...``

The kernel sends ``--signal`` to the command when its parent goes, be it by ``kill -9`` (``PR_SET_PDEATHSIG``, see
prctl(2)). This is a separate program, not a ``preexec_fn``, because it must run between fork and exec in a clean
process: dropping privileges clears the death signal, so the order is identity first, tether second, exec last. Only
the standard library is used, and everything is imported before privileges go: the interpreter may sit where the other
user cannot read.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to_parent(signal_number: int, parent_pid: int) -> None:
    """Ask the kernel for ``signal_number`` when ``parent_pid`` dies; leave at once if it is dead already.

    The death signal follows the *thread* that forked this process, so the parent must fork from a thread that lives
    as long as it does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        raise SystemExit(f"tether: the parent, process {parent_pid}, has already gone")


def become(user: str) -> None:
    """Drop root for ``UID:GID``, with no supplementary groups kept."""
    uid, gid = (int(part) for part in user.split(":"))
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def reset_signals() -> None:
    """Give the command the signal state of a fresh login: a launcher in the background passes on an ignored SIGINT."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tether", description="Run a command that dies with its parent.")
    parser.add_argument("--signal", required=True, help="signal sent when the parent dies, without SIG")
    parser.add_argument("--parent", required=True, type=int, help="process id of the parent")
    parser.add_argument("--user", help="UID:GID to run as")
    parser.add_argument("--announce", help="environment variable that receives the command's own process id")
    parser.add_argument("--unset", action="append", default=[], help="environment variable the command must not see")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Become the command, tied to its parent."""
    options = _parse(arguments)
    reset_signals()
    if options.user:
        become(options.user)
    tie_to_parent(signal.Signals[f"SIG{options.signal}"], options.parent)
    for name in options.unset:
        os.environ.pop(name, None)
    if options.announce:
        os.environ[options.announce] = str(os.getpid())
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606
    except OSError as error:
        raise SystemExit(f"tether: cannot run {options.command[0]}: {error.strerror}") from error


if __name__ == "__main__":
    main(sys.argv[1:])

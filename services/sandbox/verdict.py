"""How a run ended, from what the kernel and the service saw of it. Pure."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sandbox.limits import Limits
    from sandbox.schemas import Status

Stop = Literal["wall", "output", "memory", "cpu"]
# Signals a program brings on itself by a fault. Any other was sent by someone: the program was killed.
_FAULTS = frozenset(
    {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS", "SIGTRAP", "SIGXFSZ", "SIGXCPU", "SIGPIPE"}
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen. ``wait_status`` is None when the jail ended without reporting one.

    ``ran_out_of_memory``: the interpreter was refused memory and nothing caught it. It is the one thing the program's
    own process says, and it counts only for a program that failed: it can rename a failure, never excuse it.
    """

    stop: Stop | None
    wait_status: int | None
    oom_kills: int
    cpu_seconds: float
    ran_out_of_memory: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status, and how the program's first process ended."""

    status: Status
    reason: str | None
    exit_code: int | None = None
    signal: str | None = None


def judge(evidence: Evidence, limits: Limits) -> Verdict:
    """The verdict on a run. A limit that was broken comes before how the program ended afterwards."""
    exit_code, ended_by = _ending(evidence.wait_status)
    status, reason = _status(evidence, limits, exit_code, ended_by)
    return Verdict(status, reason, exit_code, ended_by)


def _ending(wait_status: int | None) -> tuple[int | None, str | None]:
    """The exit status, or the name of the signal; a jail that reported nothing was killed."""
    if wait_status is None:
        return None, signal.SIGKILL.name
    code = os.waitstatus_to_exitcode(wait_status)
    return (code, None) if code >= 0 else (None, _signal_name(-code))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals between the first and the last have no names
        return f"SIG{number}"


def _status(
    evidence: Evidence, limits: Limits, exit_code: int | None, ended_by: str | None
) -> tuple[Status, str | None]:
    broken = _broken_limit(evidence, limits)
    if broken is not None:
        return broken
    if evidence.wait_status is None:
        return "killed", "the jail was ended from outside the program"
    if ended_by is not None:
        return ("error" if ended_by in _FAULTS else "killed"), f"the program was ended by {ended_by}"
    if exit_code == 0:
        return "ok", None
    if exit_code == 1 and evidence.ran_out_of_memory:
        return "memory_exceeded", f"an allocation was refused under the memory limit of {limits.memory_bytes} bytes"
    return "error", f"the program ended with exit status {exit_code}"


def _broken_limit(evidence: Evidence, limits: Limits) -> tuple[Status, str] | None:
    if evidence.oom_kills or evidence.stop == "memory":
        return "memory_exceeded", f"the memory limit of {limits.memory_bytes} bytes was reached"
    if evidence.stop == "output":
        return "output_exceeded", f"more than {limits.output_bytes} bytes were written to standard output or error"
    if evidence.stop == "wall":
        return "timeout", f"the wall clock limit of {limits.wall_seconds:g} s was reached"
    if evidence.stop == "cpu" or evidence.cpu_seconds >= limits.cpu_seconds:
        return "timeout", f"the CPU limit of {limits.cpu_seconds:g} s was reached"
    return None

"""One hostile program, and exactly what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNSET = object()

# For programs that speak to the kernel: ``call(number, ...)`` is the errno's name, or what the call returned.
KERNEL = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    done = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return errno.errorcode[ctypes.get_errno()] if done == -1 else done
def attempt(act):
    try:
        return act()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
"""


@dataclass(frozen=True)
class Case:
    """``result`` is what the program must have answered; ``stdout`` what it must have printed, when given."""

    name: str
    code: str
    status: str = "ok"
    result: Any = UNSET
    stdout: str | None = None
    stderr_has: str | None = None
    exit_code: Any = UNSET
    signal: Any = UNSET
    reason_has: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    files: Sequence[Mapping[str, str]] = ()
    collect: Sequence[str] = ()
    stdin: str = ""
    check: Callable[[dict[str, Any]], bool] | None = None
    counted_by_cgroup_only: bool = False
    needs_proc: bool = False
    # Looks at errnos of the jail's own filter: a container's answers some calls before it.
    needs_first_filter: bool = False
    not_in_a_container: str | None = None
    # The backend's containers run a program as the uid of what reports on it, which it can so stop or end; and their
    # engine tells only at the end that memory ran out. What the status must be there; nothing else is asked.
    in_a_container: str | None = None

    def cannot_be_seen(self, isolation: dict[str, Any], *, elsewhere: bool) -> str | None:
        """Why what this case looks at does not exist where the service runs; None where it does."""
        if self.counted_by_cgroup_only and isolation["memory"] == "rlimit":
            return "no control group counts memory, and what the program holds is in no process's sampled share"
        if self.needs_proc and isolation["proc"] == "none":
            return "it looks into /proc, and this jail has none: the container's is masked"
        if self.not_in_a_container and isolation["memory"] == "container":
            return self.not_in_a_container
        if self.needs_first_filter and elsewhere:
            return "it looks at the errno of the jail's own filter, and the container's answers first"
        return None

    def request(self) -> dict[str, Any]:
        return {
            "limits": dict(self.limits),
            "files": list(self.files),
            "collect": list(self.collect),
            "stdin": self.stdin,
        }

    def judge(self, answer: dict[str, Any]) -> None:
        """Assert everything this case says about the answer."""
        if self.in_a_container is not None and answer["isolation"]["memory"] == "container":
            assert answer["status"] == self.in_a_container, answer
            return
        assert answer["status"] == self.status, answer
        assert (answer["reason"] is None) == (self.status == "ok")
        if self.result is not UNSET:
            assert answer["result_given"], answer
            assert answer["result"] == self.result, answer
        else:
            assert not answer["result_given"], answer
        for name in ("exit_code", "signal"):
            if getattr(self, name) is not UNSET:
                assert answer[name] == getattr(self, name), answer
        if self.stdout is not None:
            assert answer["stdout"] == self.stdout, answer
        if self.stderr_has is not None:
            assert self.stderr_has in answer["stderr"], answer
        if self.reason_has is not None:
            assert self.reason_has in answer["reason"], answer
        if self.check is not None:
            assert self.check(answer), answer

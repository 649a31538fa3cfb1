"""Where no control group counts a run: read from /proc what its processes hold and have used."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.jail.counted import Counted

_MEMORY = frozenset({"Pss_Anon:", "Pss_Shmem:"})
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_USER_TICKS = 11  # utime, stime, and the same of children waited for, counted after the name in parentheses


class ProcessTree:
    """The processes of a jail, below its PID 1.

    Memory is the sum of proportional shares, so that pages many processes share are counted once. What lies in files of
    the jail's tmpfs and is not mapped is not seen: those have sizes of their own.
    """

    def __init__(self, root_pid: int) -> None:
        self._root_pid = root_pid
        self._peak_bytes = 0
        self._cpu_seconds = 0.0

    def counted(self) -> Counted:
        """A fresh sample, and the largest so far. What is not ours to read, or ended meanwhile, counts nothing."""
        memory_bytes, cpu_seconds, pending = 0, 0.0, [self._root_pid]
        while pending:
            folder = Path("/proc", str(pending.pop()))
            try:
                for thread in (folder / "task").iterdir():
                    pending += map(int, (thread / "children").read_text().split())
                cpu_seconds += _cpu_seconds(folder)
                memory_bytes += _memory_bytes(folder)
            except OSError:
                continue
        self._peak_bytes = max(self._peak_bytes, memory_bytes)
        self._cpu_seconds = max(self._cpu_seconds, cpu_seconds)
        return Counted(0, self._peak_bytes, self._cpu_seconds)


def _cpu_seconds(folder: Path) -> float:
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_USER_TICKS : _USER_TICKS + 4])) / _TICKS_PER_SECOND


def _memory_bytes(folder: Path) -> int:
    lines = (line.split() for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
    return sum(int(line[1]) for line in lines if line[0] in _MEMORY) * 1024

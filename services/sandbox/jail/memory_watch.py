"""Where no control group counts a run's memory: read what its processes hold, and say when it is over the limit."""

from __future__ import annotations

import asyncio
from pathlib import Path

_INTERVAL_SECONDS = 0.05
_COUNTED = frozenset({"Pss_Anon:", "Pss_Shmem:"})


class MemoryWatch:
    """Samples the memory of a process tree.

    Proportional shares are added, so that pages many processes share are counted once. What lies in files of the jail's
    tmpfs and is not mapped is not seen: those have sizes of their own.
    """

    def __init__(self, root_pid: int, limit_bytes: int) -> None:
        self._root_pid = root_pid
        self._limit_bytes = limit_bytes
        self.peak_bytes = 0

    async def exceeded(self) -> None:
        """Return once the tree holds more than the limit."""
        while self.peak_bytes <= self._limit_bytes:
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self._root_pid))
            await asyncio.sleep(_INTERVAL_SECONDS)


def tree_bytes(root_pid: int) -> int:
    """Memory held by ``root_pid`` and all below it; what ends meanwhile, or is not ours to read, counts nothing."""
    total_kibibytes, pending = 0, [root_pid]
    while pending:
        folder = Path("/proc", str(pending.pop()))
        try:
            for thread in (folder / "task").iterdir():
                pending += map(int, (thread / "children").read_text().split())
            for line in (folder / "smaps_rollup").read_text().splitlines()[1:]:
                name, value, _ = line.split()
                total_kibibytes += int(value) if name in _COUNTED else 0
        except OSError:
            continue
    return total_kibibytes * 1024

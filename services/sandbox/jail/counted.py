"""What a run has used, by whatever counts it: a control group, or a reading of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Counted:
    """Use of a whole run so far. ``oom_kills``: processes the kernel ended for the run's memory limit."""

    oom_kills: int
    peak_bytes: int
    cpu_seconds: float


class Counter(Protocol):
    """Anything that can say what a run has used."""

    def counted(self) -> Counted:
        """The use so far."""
        ...

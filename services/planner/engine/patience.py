"""When an anytime search may stop: at once when proven exact, or as near as was asked, or when time is up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from planner.engine.inputs import SearchOptions


@dataclass(frozen=True, slots=True)
class Patience:
    """`gap`: how much slower than the optimum an answer may be, as a fraction; `deadline`: on the monotonic clock."""

    gap: float = 0.0
    deadline: float | None = None

    @classmethod
    def of(cls, search: SearchOptions) -> Self:
        """Return the request's patience; its clock starts now."""
        limit = search.time_limit_seconds
        return cls(search.gap, None if limit is None else time.monotonic() + limit)

    def bar(self, seconds: float) -> float:
        """Return the lower bound above which nothing needs to be looked at, given the time to beat."""
        return seconds / (1.0 + self.gap)

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.deadline is not None and time.monotonic() > self.deadline


EXACT = Patience()

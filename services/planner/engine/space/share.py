"""A share of a space: one of several runs of its layouts, so that a search can be split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.engine.space.layouts import Layouts


@dataclass(frozen=True, slots=True)
class Share:
    """Run `index` of `count` runs of consecutive layouts, whose lengths differ by one at most."""

    index: int = 0
    count: int = 1

    def of(self, layouts: Layouts) -> Layouts:
        """Return this share's rows."""
        if self.count == 1:
            return layouts
        first, end = (len(layouts) * edge // self.count for edge in (self.index, self.index + 1))
        return layouts.take(slice(first, end))


WHOLE = Share()

"""Pairs of a layout and a work option: the unit that is bounded and priced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from planner.engine.space.options import Options
    from planner.engine.types import Ints


@dataclass(frozen=True, slots=True)
class Pairs:
    """Index columns, each of shape (pairs,): a layout's row, and the value each work dimension takes."""

    layout: Ints
    sequence: Ints
    tp_overlap: Ints
    recompute: Ints
    offload: Ints
    p2p_overlap: Ints
    context_comm: Ints

    def __len__(self) -> int:
        return len(self.layout)

    @classmethod
    def only(cls, options: Options) -> Self:
        """Return the one pair of a single layout with options of one value each."""
        first = np.zeros(1, np.intp)
        return cls.of(options, first, first)

    @classmethod
    def of(cls, options: Options, layout: Ints, work: Ints) -> Self:
        """Return layouts `layout` each with the flat work option `work`."""
        return cls(layout, *np.unravel_index(work, options.work_shape))

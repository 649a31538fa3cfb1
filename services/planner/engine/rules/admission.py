"""Applying rules to a factored space, counting every drop without writing the space out.

Each rule is a mask over the few axes it names. Axes that no rule ties together are independent given the layout, so
the number of points that stand is, per layout, a product of small sums: the counting side of a constraint network's
variable elimination.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.rules.fields import AXES, LAYOUT_AXIS, Grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.engine.rules.builtin import Rule
    from planner.engine.types import Bools, Floats


@dataclass(frozen=True, slots=True)
class Admission:
    """What the rules left of `grid`: a point stands iff every mask stands at it.

    Masks have all axes, of length 1 where unneeded.

    `dropped` charges each point to the first rule that refuses it: rules on layouts alone first, then the others in
    order.
    """

    grid: Grid
    masks: dict[frozenset[int], Bools] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def admitted(self) -> int:
        """Points that stand."""
        return int(self.counts(()).sum())

    def components(self) -> list[frozenset[int]]:
        """Return the sets of option axes tied together by masks, single axes included."""
        groups = [frozenset({axis}) for axis in range(1, AXES)]
        for axes in self.masks:
            tied = [group for group in groups if group & axes]
            if tied:
                groups = [group for group in groups if not group & axes] + [frozenset().union(*tied)]
        return groups

    def mask(self, axes: Iterable[int]) -> Bools:
        """Return the conjunction of all masks that touch the option axes `axes`, which must be whole components."""
        wanted = frozenset(axes)
        parts = [mask for tied, mask in self.masks.items() if tied & wanted]
        return reduce(np.logical_and, parts, np.ones((1,) * AXES, np.bool_))

    def counts(self, keep: Iterable[int]) -> Floats:
        """Return how many points stand, summed over every axis but layouts and `keep`; shape as a mask's."""
        kept = frozenset(keep)
        total = np.ones((len(self.grid.layouts), *(1,) * (AXES - 1)))
        for component in self.components():
            stands = self.mask(component)
            missing = [axis for axis in component if stands.shape[axis] == 1]
            summed = tuple(sorted(component - kept))
            part = np.count_nonzero(stands, axis=summed, keepdims=True) if summed else stands
            repeats = float(np.prod([self.grid.shape[axis] for axis in missing if axis not in kept]))
            total = total * (part * repeats)
        return total


def admit(grid: Grid, rules: Sequence[Rule]) -> Admission:
    """Apply `rules` to the product of the grid's axes."""
    dropped = {rule.id: 0 for rule in rules}
    layout_only = [rule for rule in rules if rule.compiled.axes <= {LAYOUT_AXIS}]
    grid = _filter_layouts(grid, layout_only, dropped)
    admission = Admission(grid, {}, dropped)
    standing = len(grid.layouts) * len(grid.options)
    for rule in (rule for rule in rules if rule not in layout_only):
        axes = rule.compiled.axes
        passes = rule.compiled.evaluate(grid)
        if passes.all():
            continue
        known = admission.masks.get(axes)
        admission.masks[axes] = passes if known is None else known & passes
        left = admission.admitted
        dropped[rule.id] += standing - left
        standing = left
    return admission


def _filter_layouts(grid: Grid, rules: Sequence[Rule], dropped: dict[str, int]) -> Grid:
    for rule in rules:
        passes = np.broadcast_to(rule.compiled.evaluate(grid).ravel(), (len(grid.layouts),))
        refused = len(passes) - int(np.count_nonzero(passes))
        dropped[rule.id] += refused * len(grid.options)
        if refused:
            grid = Grid(grid.problem, grid.layouts.take(passes), grid.options)
    return grid

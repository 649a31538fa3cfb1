"""Applying rules to a factored space, counting every drop without writing the space out.

Each rule is a mask over the few axes it names. Axes that no rule ties together are independent given the layout, so
the number of points that stand is, per layout, a product of small sums: the counting side of a constraint network's
variable elimination.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.errors import InvalidRequest
from planner.engine.grouping import group_masks
from planner.engine.rules.fields import AXES, LAYOUT_AXIS, Grid
from planner.engine.space.options import OVERLAPS, WORK_AXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from planner.engine.rules.builtin import Rule
    from planner.engine.space import Options
    from planner.engine.types import Bools, Floats, Ints

_WORK = frozenset(range(1, 1 + WORK_AXES))
_STATE = frozenset(range(1 + WORK_AXES, AXES))


@dataclass(frozen=True, slots=True)
class AdmittedOptions:
    """What masks on work options alone, and on state options alone, left beside each kind of layout.

    `work`: (kinds, work options). `state`: (kinds, shardings, offload shares, reduce overlaps, gather overlaps).
    `most_share`: greatest offload share index admitted, (state kinds, shardings), -1 where none is.
    """

    work: Bools
    work_shape: tuple[int, ...]
    work_kind: Ints
    state: Bools
    state_kind: Ints
    most_share: Ints

    @property
    def quickest_work(self) -> Bools:
        """The work options of which, beside every layout, one is as quick as any: overlaps on where they may be."""
        left = self.work.reshape(len(self.work), *self.work_shape).copy()
        for axis in OVERLAPS:
            off, on = np.moveaxis(left, axis, 0)[[0, -1]]
            if self.work_shape[axis - 1] > 1:
                np.moveaxis(left, axis, 0)[0] = off & ~on
        return left.reshape(self.work.shape)

    @classmethod
    def of(cls, options: Options, masks: Mapping[frozenset[int], Bools], layouts: int) -> Self:
        """Combine the masks of each side."""
        work, work_kind = _by_kind(_within(masks, _WORK), _WORK, layouts)
        state, state_kind = _by_kind(_within(masks, _STATE), _STATE, layouts)
        work = np.broadcast_to(work.reshape(work.shape[: 1 + WORK_AXES]), (len(work), *options.work_shape))
        whole = (len(state), *options.state_shape)
        state = np.broadcast_to(state.reshape(len(state), *state.shape[1 + WORK_AXES :]), whole)
        shares = np.arange(len(options.optimizer_offload))[:, None, None]
        most_share = np.where(state, shares, -1).max(axis=(2, 3, 4))
        return cls(work.reshape(len(work), -1), options.work_shape, work_kind, state, state_kind, most_share)


def _within(masks: Mapping[frozenset[int], Bools], axes: frozenset[int]) -> dict[frozenset[int], Bools]:
    return {tied: mask for tied, mask in masks.items() if tied - {LAYOUT_AXIS} <= axes}


@dataclass(frozen=True, slots=True)
class Admission:
    """What the rules left of `grid`: a point stands iff every mask stands at it.

    Masks have all axes, of length 1 where unneeded. `dropped` charges each point to the first rule that refuses it:
    rules on layouts alone first, then the others in order.
    """

    grid: Grid
    masks: dict[frozenset[int], Bools]
    dropped: dict[str, int]
    admitted: int
    options: AdmittedOptions

    @property
    def tied(self) -> list[Bools]:
        """Masks that tie work options to state options, so that neither can be looked at alone."""
        return [mask for tied, mask in self.masks.items() if min(tied - {LAYOUT_AXIS}) <= WORK_AXES < max(tied)]

    def kinds(self, axes: Iterable[int]) -> tuple[Bools, Ints]:
        """Return the masks on the option axes `axes` combined, per kind of layout, and every layout's kind."""
        return _by_kind(self.masks, frozenset(axes), len(self.grid.layouts))


def _by_kind(masks: Mapping[frozenset[int], Bools], axes: frozenset[int], layouts: int) -> tuple[Bools, Ints]:
    """Layouts differ in few ways as far as a handful of masks is concerned: combine the masks once per way."""
    touching = [mask for tied, mask in masks.items() if tied & axes]
    varying = [mask.reshape(layouts, -1) for mask in touching if mask.shape[LAYOUT_AXIS] > 1]
    kind = np.zeros(layouts, np.int64)
    if varying:
        first, kind = group_masks(np.concatenate(varying, axis=1))
        touching = [mask[first] if mask.shape[LAYOUT_AXIS] > 1 else mask for mask in touching]
    lengths = [max(mask.shape[axis] for mask in touching) for axis in range(AXES)] if touching else [1]
    _require_affordable("all of them", lengths)
    return reduce(np.logical_and, touching, np.ones((1,) * AXES, np.bool_)), kind


class _Tally:
    """The count of standing points, kept while masks are added.

    One factor per set of option axes that masks tie together.
    """

    def __init__(self, grid: Grid) -> None:
        self._shape = shape = grid.shape
        self._factors: dict[frozenset[int], Floats] = {
            frozenset({axis}): np.full(1, float(shape[axis])) for axis in range(1, AXES)
        }
        self.masks: dict[frozenset[int], Bools] = {}
        self.standing = prod(shape)

    def add(self, axes: frozenset[int], passes: Bools) -> int:
        """Add a mask and return how many points it refuses."""
        known = self.masks.get(axes)
        self.masks[axes] = passes if known is None else known & passes
        tied = [group for group in self._factors if group & axes]
        joined = frozenset().union(*tied)
        for group in tied:
            del self._factors[group]
        self._factors[joined] = self._count(joined)
        before, self.standing = self.standing, self._total()
        return before - self.standing

    def _count(self, component: frozenset[int]) -> Floats:
        stands, kind = _by_kind(self.masks, component, self._shape[LAYOUT_AXIS])
        repeats = prod(self._shape[axis] for axis in component if stands.shape[axis] == 1)
        counts = np.count_nonzero(stands.reshape(len(stands), -1), axis=1) * repeats
        per_layout: Floats = counts[kind] if len(counts) > 1 else counts
        return per_layout

    def _total(self) -> int:
        each = reduce(np.multiply, self._factors.values())
        return int(each.sum() if len(each) > 1 else each.sum() * self._shape[LAYOUT_AXIS])


def admit(grid: Grid, rules: Sequence[Rule]) -> Admission:
    """Apply `rules` to the product of the grid's axes."""
    dropped = {rule.id: 0 for rule in rules}
    layout_only = [rule for rule in rules if rule.compiled.axes <= {LAYOUT_AXIS}]
    grid = _filter_layouts(grid, layout_only, dropped)
    tally, shape = _Tally(grid), grid.shape
    for rule in rules:
        axes = rule.compiled.axes
        if axes <= {LAYOUT_AXIS}:
            continue
        _require_affordable(rule.id, [shape[axis] for axis in axes])
        passes = rule.compiled.evaluate(grid)
        if not passes.all():
            dropped[rule.id] += tally.add(axes, passes)
    left = AdmittedOptions.of(grid.options, tally.masks, len(grid.layouts))
    return Admission(grid, tally.masks, dropped, tally.standing, left)


_MOST_CELLS = 1 << 27


def _require_affordable(rule: str, lengths: Iterable[int]) -> None:
    cells = prod(lengths)
    if cells > _MOST_CELLS:
        raise InvalidRequest(
            "search.rules",
            rule,
            f"ties so many dimensions together that {cells} cases would have to be told apart",
            "split the rule into several joined by `and`, or narrow search.space",
        )


def _filter_layouts(grid: Grid, rules: Sequence[Rule], dropped: dict[str, int]) -> Grid:
    stands = np.ones(len(grid.layouts), np.bool_)
    for rule in rules:
        passes = stands & rule.compiled.evaluate(grid).ravel()
        dropped[rule.id] += (int(np.count_nonzero(stands)) - int(np.count_nonzero(passes))) * len(grid.options)
        stands = passes
    return grid if stands.all() else Grid(grid.problem, grid.layouts.take(stands), grid.options)

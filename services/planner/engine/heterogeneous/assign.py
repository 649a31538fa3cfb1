"""The exact assignment of layers to the stages of one pipeline of unlike GPUs.

Minimise sum_i (t_i + h_i) + (K - 1) max_i (t_i + h_i) + max_i d_i(n_i), where stage i holds n_i >= 1 layers, t_i =
e_i + n_i s_i, h_i is its transfer and d_i what it does once per step. For a bottleneck B every stage holds at most (B
- e_i - h_i) / s_i layers and what fits in memory; the sum is then least with as many layers as possible on the
fastest GPUs, which is greedy and exact. B runs over the values a stage can take. The once-per-step term is lowered
from above: each pass forbids its current value; it stops when nothing that is left can win.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.engine.types import Floats, Ints

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Stages:
    """One pipeline, columns of shape (stages,).

    `once[i, n - 1]` is d_i(n), not falling in n; `most` what fits in memory.
    """

    slope: Floats
    offset: Floats
    most: Ints
    once: Floats


@dataclass(frozen=True, slots=True)
class Assignment:
    """Layers of every stage and the seconds of a step."""

    layers: Ints
    seconds: float


def assign(stages: Stages, layers: int, micro_batches: int, bar: float = np.inf) -> Assignment | None:
    """Return the best assignment, or None when none fits or none beats `bar`."""
    best: Assignment | None = None
    most = np.minimum(stages.most, layers)
    least_once = float(stages.once[:, 0].max())
    while True:
        limit = min(bar, best.seconds if best else np.inf)
        found = _without_once(stages, most, layers, micro_batches, limit - least_once)
        if found is None or found.seconds + least_once >= limit:
            return best
        each = stages.once[np.arange(len(most)), found.layers - 1]
        once = float(each.max())
        if found.seconds + once < limit:
            best = Assignment(found.layers, found.seconds + once)
        most = np.minimum(most, (stages.once < once).sum(axis=1))


def _without_once(stages: Stages, most: Ints, layers: int, micro_batches: int, bar: float) -> Assignment | None:
    """Return the assignment that minimises all but the once-per-step term, if one may beat `bar`."""
    count = len(most)
    if most.min() < 1 or most.sum() < layers or count > layers:
        return None
    bottlenecks = _stage_times(stages, layers)
    least_fill = stages.offset.sum() + stages.slope.sum() + (layers - count) * stages.slope.min()
    bottlenecks = bottlenecks[least_fill + (micro_batches - 1) * bottlenecks < bar]
    room = np.floor((bottlenecks[:, None] - stages.offset) / stages.slope + _ROUNDING)
    room = np.minimum(room, most)
    feasible = (room.min(axis=1) >= 1) & (room.sum(axis=1) >= layers)
    if not feasible.any():
        return None
    bottlenecks, room = bottlenecks[feasible], room[feasible]
    order = np.argsort(stages.slope, kind="stable")
    spare = np.cumsum(room[:, order] - 1, axis=1)
    taken = np.diff(np.minimum(spare, layers - count), axis=1, prepend=0)
    fill = stages.offset.sum() + stages.slope.sum() + taken @ stages.slope[order]
    seconds = fill + (micro_batches - 1) * bottlenecks
    chosen = int(np.argmin(seconds))
    assigned = np.ones(count, np.int64)
    assigned[order] += taken[chosen].astype(np.int64)
    return Assignment(assigned, float(seconds[chosen]))


def _stage_times(stages: Stages, layers: int) -> Floats:
    """Return every time a stage can take, ascending: one of them is the slowest stage's."""
    kinds = np.array(list(dict.fromkeys(zip(stages.slope.tolist(), stages.offset.tolist(), strict=True))))
    return np.unique(kinds[:, 1, None] + kinds[:, 0, None] * np.arange(1, layers + 1))

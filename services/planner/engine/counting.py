"""How many admitted points fit in memory, counted without pricing or writing out any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.chunk import Chunk
from planner.engine.memory import StageMemory, needed_offload, stage_memory
from planner.engine.rules.fields import AXES
from planner.engine.space.options import MEMORY_STATE_AXES, MEMORY_WORK_AXES, WORK_AXES
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.problem import Problem
    from planner.engine.rules import Admission
    from planner.engine.space import Options
    from planner.engine.types import Floats, Ints

_ROWS_PER_BLOCK = 1024
_PAIRS_PER_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Fitting:
    """Points that fit, and by how many bytes the nearest misses when none does."""

    points: int
    least_over: float | None


def count_fitting(problem: Problem, admission: Admission) -> Fitting:
    """Count the admitted points whose every stage fits."""
    if any(min(axes - {0}) <= WORK_AXES < max(axes) for axes in admission.masks if axes - {0}):
        return _count_tied(problem, admission)
    work = _weights(admission, range(1, 1 + WORK_AXES), MEMORY_WORK_AXES)
    state = _weights(admission, range(1 + WORK_AXES, AXES), MEMORY_STATE_AXES)
    total, least = 0, np.inf
    for rows in _alike(work.kind, state.kind):
        weights = work.counts[work.kind[rows]], state.counts[state.kind[rows]]
        fitting, over = _count_rows(problem, admission, weights, rows)
        total, least = total + fitting, min(least, over)
    return Fitting(total, float(least) if not total and np.isfinite(least) else None)


def _count_tied(problem: Problem, admission: Admission) -> Fitting:
    """Rules that tie work to state options leave no shortcut: look at every pair."""
    total, least = 0, np.inf
    for start in range(0, len(admission.grid.layouts), _PAIRS_PER_CHUNK):
        rows = np.arange(start, min(start + _PAIRS_PER_CHUNK, len(admission.grid.layouts)))
        chunk = Chunk(problem, admission, rows)
        total += chunk.count()
        least = least if total else min(least, chunk.least_over())
    return Fitting(total, float(least) if not total and np.isfinite(least) else None)


@dataclass(frozen=True, slots=True)
class _Weights:
    """How many points stand at each value of some axes, (kinds of layouts, values), and every layout's kind."""

    counts: Floats
    kind: Ints


def _weights(admission: Admission, axes: range, kept: tuple[int, ...]) -> _Weights:
    mask, kind = admission.kinds(axes)
    shape = tuple(admission.grid.shape[axis] if axis in axes else 1 for axis in range(1, AXES))
    whole = np.broadcast_to(mask, (mask.shape[0], *shape))
    counts = np.count_nonzero(whole, axis=tuple(axis for axis in axes if axis not in kept))
    return _Weights(np.asarray(counts, np.float64).reshape(len(counts), -1), kind)


def _alike(work: Ints, state: Ints) -> Iterator[Ints]:
    """Yield runs of layouts, those that admit the same options side by side, so that few cells go to waste."""
    order = np.lexsort((work, state))
    for start in range(0, len(order), _ROWS_PER_BLOCK):
        yield order[start : start + _ROWS_PER_BLOCK]


def _count_rows(
    problem: Problem, admission: Admission, weights: tuple[Floats, Floats], rows: Ints
) -> tuple[int, float]:
    options = admission.grid.options
    kept = np.flatnonzero(weights[0].any(axis=0))
    work = weights[0][:, kept]
    layouts = admission.grid.layouts.take(rows)
    memory = stage_memory(problem, layouts, options, candidate_stages(problem.architecture, layouts))
    needed = needed_offload(problem, memory, kept)
    state = weights[1].reshape(len(rows), len(options.sharding), len(options.optimizer_offload))
    enough = np.searchsorted(options.optimizer_offload, needed)
    per_pair = np.take_along_axis(_from_share_on(state), enough.transpose(0, 2, 1), axis=2)
    fitting = int(np.sum(per_pair * work[:, None, :], dtype=np.float64))
    return fitting, np.inf if fitting else _least_over(memory, options, needed, (work, state))


def _from_share_on(state: Floats) -> Floats:
    """Return how many state options stand from each offload share on, and 0 past the last.

    Shape (layouts, shardings, shares + 1).
    """
    totals = np.cumsum(state[..., ::-1], axis=2)[..., ::-1]
    return np.concatenate([totals, np.zeros((*totals.shape[:2], 1))], axis=2)


def _least_over(memory: StageMemory, options: Options, needed: Floats, weights: tuple[Floats, Floats]) -> float:
    """Return the bytes the nearest admitted point is over: the optimizer share still missing, of the fullest stage."""
    work, state = weights
    most = np.where(state > 0, options.optimizer_offload, -np.inf).max(axis=2)
    missing = needed - most[:, None, :]
    over = missing * memory.state.optimizer.max(axis=1)[:, None, :]
    standing = (work > 0)[:, :, None] & np.isfinite(most)[:, None, :]
    return float(np.min(over, where=standing, initial=np.inf))

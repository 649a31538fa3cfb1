"""How many admitted points fit in memory, counted without pricing or writing out any of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.chunk import Chunk
from planner.engine.fitting import Fitting, fitting, memory_columns
from planner.engine.grouping import group_masks, group_rows
from planner.engine.memory import activation_columns
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.problem import Problem
    from planner.engine.rules import Admission
    from planner.engine.rules.admission import AdmittedOptions
    from planner.engine.space import Layouts
    from planner.engine.types import Bools, Floats, Ints

_LAYOUTS_PER_RUN = 1024
_LAYOUTS_PER_CHUNK = 256
_MOST_KEPT = 1 << 17


@dataclass(frozen=True, slots=True)
class Count:
    """Points that fit, by how many bytes the nearest misses when none does, and which layouts have one.

    `enough`: in a small space what `Fitting` says of every layout, (layouts, shardings, memory columns): whoever prices
    them need not find it again. None in a large one.
    """

    points: int
    least_over: float | None
    has_room: Bools
    enough: Ints | None = None


def count_fitting(problem: Problem, admission: Admission) -> Count:
    """Count the admitted points whose every stage fits."""
    if admission.tied:
        return _count_tied(problem, admission)
    options, layouts = admission.grid.options, admission.grid.layouts
    weights = _Weights.of(admission)
    counts, enough = np.zeros(len(layouts)), _nothing_is_enough(admission, weights)
    for rows, columns, shardings in weights.runs(problem, layouts):
        fit = fitting(problem, layouts.take(rows), options, columns, shardings)
        counts[rows] = weights.count(fit, rows)
        if enough is not None:
            enough[rows[:, None, None], shardings[:, None], columns] = fit.enough
    return replace(_summed(problem, admission, counts), enough=enough)


def _nothing_is_enough(admission: Admission, weights: _Weights) -> Ints | None:
    """A table for `Count.enough`, unless it were large."""
    shape = (len(admission.grid.layouts), len(admission.grid.options.sharding), weights.work.shape[1])
    if prod(shape) > _MOST_KEPT:
        return None
    return np.full(shape, len(admission.grid.options.optimizer_offload), np.int8)


def _count_tied(problem: Problem, admission: Admission) -> Count:
    """Rules that tie work to state options leave no shortcut: look at every pair."""
    counts = [chunk.count() for chunk in _chunks(problem, admission)]
    return _summed(problem, admission, np.concatenate([np.zeros(0), *counts]))


def _summed(problem: Problem, admission: Admission, counts: Floats) -> Count:
    least = None
    if not counts.any():
        over = min((chunk.least_over() for chunk in _chunks(problem, admission)), default=np.inf)
        least = over if np.isfinite(over) else None
    return Count(int(counts.sum()), least, counts > 0)


def _chunks(problem: Problem, admission: Admission) -> Iterator[Chunk]:
    layouts = len(admission.grid.layouts)
    for start in range(0, layouts, _LAYOUTS_PER_CHUNK):
        yield Chunk(problem, admission, np.arange(start, min(start + _LAYOUTS_PER_CHUNK, layouts)))


@dataclass(frozen=True, slots=True)
class _Weights:
    """How many points stand behind each cell that memory tells apart.

    `work`: (work kinds, memory columns). `from_share_on`: state options from each offload share on, 0 past the last,
    (state kinds, shardings, shares + 1).
    """

    admitted: AdmittedOptions
    work: Floats
    from_share_on: Floats
    shape: tuple[int, ...]

    @classmethod
    def of(cls, admission: Admission) -> Self:
        """Count what is admitted."""
        admitted, options = admission.options, admission.grid.options
        work = memory_columns(options, admitted.work).astype(np.float64)
        state = admitted.state.sum(axis=(3, 4), dtype=np.float64)
        totals = np.cumsum(state[..., ::-1], axis=2)[..., ::-1]
        from_share_on = np.concatenate([totals, np.zeros((*totals.shape[:2], 1))], axis=2)
        shape = (len(options.sequence_parallel), len(options.recomputes), len(options.activation_offload))
        return cls(admitted, work, from_share_on, shape)

    def runs(self, problem: Problem, layouts: Layouts) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield runs of layouts, and the columns and shardings at which any of them stands.

        Side by side stand layouts that admit much the same, whose fullest stage may be the same, that keep the same
        activations: so that few cells go to waste.
        """
        stands = (self.work > 0).reshape(len(self.work), *self.shape).any(axis=2).reshape(len(self.work), -1)
        shards = self.from_share_on[..., 0] > 0
        work, state = self.admitted.work_kind, self.admitted.state_kind
        fullest = candidate_stages(problem.architecture, layouts).undominated()
        _, alike = group_masks(np.concatenate([stands[work], shards[state], fullest], axis=1))
        _, activations = group_rows(activation_columns(layouts))
        order = np.lexsort((activations, alike))
        for at in range(0, len(order), _LAYOUTS_PER_RUN):
            rows = order[at : at + _LAYOUTS_PER_RUN]
            columns = np.flatnonzero(self.work[np.unique(work[rows])].any(axis=0))
            shardings = np.flatnonzero(shards[np.unique(state[rows])].any(axis=0))
            if len(columns) and len(shardings):
                yield rows, columns, shardings

    def count(self, fit: Fitting, rows: Ints) -> Floats:
        """Return the points that fit beside each of `rows`."""
        work, state = self.work[:, fit.columns][self.admitted.work_kind[rows]], self.admitted.state_kind[rows]
        counts, past = np.zeros(len(rows)), self.from_share_on.shape[2]
        for index, sharding in enumerate(fit.shardings):
            table = self.from_share_on[:, sharding].ravel()
            counts += np.einsum("lc,lc->l", table[fit.enough[:, index] + past * state[:, None]], work)
        return counts

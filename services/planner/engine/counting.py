"""How many admitted points fit in memory, counted without pricing or writing out any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.chunk import Chunk
from planner.engine.fitting import Fitting, fitting, memory_columns
from planner.engine.grouping import group_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.problem import Problem
    from planner.engine.rules import Admission
    from planner.engine.rules.admission import AdmittedOptions
    from planner.engine.space import Options
    from planner.engine.types import Bools, Floats, Ints

_CELLS_PER_BLOCK = 1 << 17
_PAIRS_PER_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Count:
    """Points that fit, by how many bytes the nearest misses when none does, and which layouts have one."""

    points: int
    least_over: float | None
    has_room: Bools


def count_fitting(problem: Problem, admission: Admission) -> Count:
    """Count the admitted points whose every stage fits."""
    if admission.tied:
        return _count_tied(problem, admission)
    options, layouts = admission.grid.options, admission.grid.layouts
    weights = _Weights.of(admission)
    total, least, has_room = 0, np.inf, np.zeros(len(layouts), np.bool_)
    for rows, columns, shardings in weights.runs():
        fit = fitting(problem, layouts.take(rows), options, columns, shardings)
        each = weights.count(fit, rows)
        has_room[rows] = each > 0
        total += int(each.sum())
        least = least if total else min(least, weights.least_over(fit, rows, options))
    return Count(total, float(least) if not total and np.isfinite(least) else None, has_room)


def _count_tied(problem: Problem, admission: Admission) -> Count:
    """Rules that tie work to state options leave no shortcut: look at every pair."""
    layouts = len(admission.grid.layouts)
    total, least, has_room = 0, np.inf, np.zeros(layouts, np.bool_)
    for start in range(0, layouts, _PAIRS_PER_CHUNK):
        rows = np.arange(start, min(start + _PAIRS_PER_CHUNK, layouts))
        chunk = Chunk(problem, admission, rows)
        each = chunk.count()
        has_room[rows] = each > 0
        total += int(each.sum())
        least = least if total else min(least, chunk.least_over())
    return Count(total, float(least) if not total and np.isfinite(least) else None, has_room)


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

    def runs(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield runs of layouts that admit much the same, and the columns and shardings at which any of them stands.

        Told apart by sequence parallel, offload and sharding: what halves the cells.
        """
        stands = (self.work > 0).reshape(len(self.work), *self.shape).any(axis=2).reshape(len(self.work), -1)
        shards = self.from_share_on[..., 0] > 0
        work, state = self.admitted.work_kind, self.admitted.state_kind
        _, kind = group_rows(np.concatenate([stands[work], shards[state]], axis=1))
        order = np.argsort(kind, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
            columns = np.flatnonzero(self.work[np.unique(work[rows])].any(axis=0))
            shardings = np.flatnonzero(shards[np.unique(state[rows])].any(axis=0))
            if len(columns) and len(shardings):
                size = max(_CELLS_PER_BLOCK // (len(columns) * len(shardings)), 1)
                yield from ((rows[at : at + size], columns, shardings) for at in range(0, len(rows), size))

    def count(self, fit: Fitting, rows: Ints) -> Floats:
        """Return the points that fit beside each of `rows`."""
        work, state = self.work[:, fit.columns][self.admitted.work_kind[rows]], self.admitted.state_kind[rows]
        counts, past = np.zeros(len(rows)), self.from_share_on.shape[2]
        for index, sharding in enumerate(fit.shardings):
            table = self.from_share_on[:, sharding].ravel()
            counts += np.einsum("lc,lc->l", table[fit.enough[:, :, index] + past * state[:, None]], work)
        return counts

    def least_over(self, fit: Fitting, rows: Ints, options: Options) -> float:
        """Return the bytes the nearest point is over: the optimizer share still missing, of the fullest stage."""
        shares = np.append(options.optimizer_offload, -np.inf)
        most = shares[self.admitted.most_share[self.admitted.state_kind[rows]][:, fit.shardings]][:, None]
        standing = (self.work[:, fit.columns][self.admitted.work_kind[rows]] > 0)[:, :, None] & np.isfinite(most)
        over = (fit.needed - most) * fit.memory.state.optimizer.max(axis=1)[:, None, :]
        return float(np.min(over, where=standing, initial=np.inf))

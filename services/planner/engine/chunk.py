"""Memory filter and choice over a run of admitted layouts."""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.choose import Points, best_per_layout, choose
from planner.engine.cost.price import price
from planner.engine.fitting import fitting, memory_column_of, memory_columns
from planner.engine.memory import bytes_over, stage_memory
from planner.engine.space import Pairs
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from planner.engine.choose import Best
    from planner.engine.cost.price import Pricer
    from planner.engine.inputs import SearchOptions
    from planner.engine.problem import Problem
    from planner.engine.rules import Admission
    from planner.engine.types import Bools, Floats, Ints


class Chunk:
    """A slice of admitted layouts: its pairs of layout and work option with the state options that fit beside each.

    `enough` says of all layouts what `Count.enough` does, where it is known.
    """

    def __init__(self, problem: Problem, admission: Admission, rows: Ints, enough: Ints | None = None) -> None:
        self._problem, self._rows, self._known = problem, rows, enough
        self._options = admission.grid.options
        self._layouts = admission.grid.layouts.take(rows)
        self._work: Bools = admission.options.work[admission.options.work_kind[rows]]
        self._quickest: Bools = admission.options.quickest_work[admission.options.work_kind[rows]]
        self._states: Bools = admission.options.state
        self._state_kind = admission.options.state_kind[rows]
        self._most_share = admission.options.most_share[self._state_kind]
        self._tied = [mask[rows] if len(mask) > 1 else mask for mask in admission.tied]

    @cached_property
    def _enough(self) -> Ints:
        """Index of the least offload share with which all stages fit: (layouts, shardings, memory columns)."""
        if self._known is not None:
            return self._known[self._rows]
        counts = memory_columns(self._options, np.asarray(self._work.any(axis=0, keepdims=True)))[0]
        columns, shardings = np.flatnonzero(counts), np.flatnonzero((self._most_share >= 0).any(axis=0))
        shape = (len(self._layouts), len(self._options.sharding), len(counts))
        enough = np.full(shape, len(self._options.optimizer_offload), np.int8)
        if len(columns) and len(shardings):
            fit = fitting(self._problem, self._layouts, self._options, columns, shardings)
            enough[:, shardings[:, None], columns] = fit.enough
        return enough

    @cached_property
    def pairs(self) -> tuple[Ints, Ints]:
        """Layouts and work options with a state option that fits, ascending."""
        return self._fitting(self._work)

    def _fitting(self, wanted: Bools) -> tuple[Ints, Ints]:
        room = np.asarray((self._enough <= self._most_share[:, :, None]).any(axis=1))
        layout, work = np.nonzero(wanted & room[:, self._column_of_work])
        return layout.astype(np.int32), work.astype(np.int32)

    @cached_property
    def _column_of_work(self) -> Ints:
        every = np.arange(prod(self._options.work_shape))
        sequence, _, recompute, offload, _, _ = np.unravel_index(every, self._options.work_shape)
        return memory_column_of(self._options, sequence, recompute, offload)

    def stands(self, layout: Ints, work: Ints, sharding: int) -> Bools:
        """Return the state options of `sharding` that stand: (shares, reduce overlaps, gather overlaps, pairs)."""
        by_kind = np.ascontiguousarray(np.moveaxis(self._states[:, sharding], 0, -1))
        admitted = np.take(by_kind, self._state_kind[layout], axis=-1)
        shares = np.arange(len(self._options.optimizer_offload), dtype=np.int8)[:, None, None, None]
        admitted &= shares >= self._enough[layout, sharding, self._column_of_work[work]]
        for mask in self._tied:
            whole = np.broadcast_to(mask, (len(self._layouts), *self._options.shape))
            values = np.unravel_index(work, self._options.work_shape)
            admitted &= np.moveaxis(whole[(layout, *values)][:, sharding], 0, -1)
        return admitted

    def count(self) -> Ints:
        """Return how many admitted points fit beside each layout."""
        layout, work = self.pairs
        counts = np.zeros(len(self._layouts), np.int64)
        for sharding in range(len(self._options.sharding)):
            each = np.count_nonzero(self.stands(layout, work, sharding), axis=(0, 1, 2))
            counts += np.bincount(layout, each, len(counts)).astype(np.int64)
        return counts

    def _bounded(self, layout: Ints, work: Ints) -> tuple[Pricer, Floats]:
        pricer = price(self._problem, self._layouts, self._options, Pairs.of(self._options, layout, work))
        enough = self._enough[layout, :, self._column_of_work[work]]
        return pricer, pricer.bounds(self._states[self._state_kind], enough)

    @cached_property
    def _points(self) -> Points:
        layout, work = self.pairs
        pricer, bounds = self._bounded(layout, work)
        return Points(
            pricer=pricer,
            layout=self._rows[layout],
            work=work,
            bounds=bounds,
            state_shape=self._options.state_shape,
            stands=lambda rows, sharding: self.stands(layout[rows], work[rows], sharding),
        )

    def bounds(self) -> Floats:
        """Return a lower bound of each layout's time over what fits beside it, infinite where nothing does."""
        layout, work = self._fitting(self._quickest)
        least = np.full(len(self._layouts), np.inf)
        np.minimum.at(least, layout, self._bounded(layout, work)[1])
        return least

    def choose(self, best: Best, search: SearchOptions) -> tuple[Best, int]:
        """Return the chunk's points merged into `best`, and how many were priced."""
        return choose(self._points, best, search.top_k, exhaustive=search.method == "exhaustive")

    def best_each(self) -> Best:
        """Return the best point of every layout that has one, ascending by layout."""
        return best_per_layout(self._points)

    def least_over(self) -> float:
        """Return by how many bytes the nearest admitted point misses fitting, any work beside any state option."""
        stages = candidate_stages(self._problem.architecture, self._layouts)
        over = bytes_over(
            self._problem, stage_memory(self._problem, self._layouts, self._options, stages), self._options
        )
        work = memory_columns(self._options, self._work).reshape(over.shape[:4]) > 0
        state = np.asarray(self._states[self._state_kind].any(axis=(3, 4)))
        admitted = work[..., None, None] & state[:, None, None, None]
        return float(np.min(over, where=admitted, initial=np.inf))

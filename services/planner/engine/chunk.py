"""Memory filter and choice over a run of admitted layouts."""

from __future__ import annotations

from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.choose import Best, Feasible, choose
from planner.engine.cost.price import price
from planner.engine.memory import StageMemory, fits, stage_memory
from planner.engine.rules.fields import AXES
from planner.engine.space import WORK_AXES
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.engine.cost.price import Pricer
    from planner.engine.inputs import SearchOptions
    from planner.engine.problem import Problem
    from planner.engine.rules import Admission
    from planner.engine.types import Bools, Ints

_PAIRS_PER_BLOCK = 4096


class Chunk:
    """A slice of admitted layouts with its masks, memory and prices, each computed when first needed.

    Axes: layouts, six work options, four state options. Memory depends on sequence parallel, recompute and activation
    offload among the former and on sharding and optimizer offload among the latter.
    """

    def __init__(self, problem: Problem, admission: Admission, rows: Ints) -> None:
        self._problem = problem
        self._options = admission.grid.options
        self._rows = rows
        self._layouts = admission.grid.layouts.take(rows)
        self._masks = {axes: mask[rows] if mask.shape[0] > 1 else mask for axes, mask in admission.masks.items()}

    @cached_property
    def _work(self) -> Bools:
        """Admitted work options of each layout, work axes kept."""
        alone = self._conjunction(lambda options: max(options) <= WORK_AXES)
        return np.broadcast_to(
            alone.reshape(alone.shape[: 1 + WORK_AXES]), (len(self._layouts), *self._options.work_shape)
        )

    @cached_property
    def _state(self) -> Bools:
        """Admitted state options of each layout, state axes kept."""
        alone = self._conjunction(lambda options: min(options) > WORK_AXES)
        shape = (alone.shape[0], *alone.shape[1 + WORK_AXES :])
        return np.broadcast_to(alone.reshape(shape), (len(self._layouts), *self._options.state_shape))

    @cached_property
    def _both(self) -> Bools | None:
        """Masks that tie work to state options, all axes kept; None when there are none."""
        tied = self._conjunction(lambda options: min(options) <= WORK_AXES < max(options))
        return None if tied.size == 1 else tied

    def _conjunction(self, wanted: Callable[[frozenset[int]], bool]) -> Bools:
        parts = [mask for axes, mask in self._masks.items() if wanted(axes - {0})]
        return reduce(np.logical_and, parts, np.ones((1,) * AXES, np.bool_))

    @cached_property
    def _memory(self) -> StageMemory:
        stages = candidate_stages(self._problem.architecture, self._layouts)
        return stage_memory(self._problem, self._layouts, self._options, stages)

    @cached_property
    def _fits(self) -> Bools:
        return fits(self._problem, self._options, self._memory)

    def count(self) -> int:
        """Return how many admitted points fit in memory."""
        if self._both is not None:
            rows, columns = np.nonzero(self._pairs)
            blocks = range(0, len(rows), _PAIRS_PER_BLOCK)
            return sum(
                int(
                    np.count_nonzero(
                        self._points(rows[at : at + _PAIRS_PER_BLOCK], columns[at : at + _PAIRS_PER_BLOCK])
                    )
                )
                for at in blocks
            )
        work = np.count_nonzero(self._work, axis=(2, 5, 6)).astype(np.float32)
        state = np.count_nonzero(self._state, axis=(3, 4)).astype(np.float32)
        shape = (len(self._layouts), work[0].size, state[0].size)
        per_work = np.matmul(self._fits.reshape(shape).astype(np.float32), state.reshape(len(state), -1, 1))[..., 0]
        return int(np.sum(per_work.astype(np.float64) * work.reshape(len(work), -1)))

    @cached_property
    def _pairs(self) -> Bools:
        """(Layout, work) pairs with a state option that fits, as (layouts, work options)."""
        any_state = np.asarray(self._state.any(axis=(3, 4)))
        room = np.any(self._fits & any_state[:, None, None, None], axis=(4, 5))
        pairs: Bools = (self._work & room[:, :, None, :, :, None, None]).reshape(len(self._layouts), -1)
        return pairs

    def _points(self, layout: Ints, work: Ints) -> Bools:
        """State options that stand with each (layout[i], work[i]), shape (len(layout), state options)."""
        sequence, overlap, again, offload, transfers, comm = np.unravel_index(work, self._options.work_shape)
        room = self._fits[layout, sequence, again, offload]
        stands = self._state[layout] & room[..., None, None]
        if self._both is not None:
            whole = np.broadcast_to(self._both, (len(self._layouts), *self._options.shape))
            stands = stands & whole[layout, sequence, overlap, again, offload, transfers, comm]
        return stands.reshape(len(layout), int(np.prod(self._options.state_shape)))

    def choose(self, best: Best, search: SearchOptions) -> tuple[Best, int]:
        """Return `best` with this chunk's points merged in, and how many were priced."""
        pricer = price(self._problem, self._layouts, self._options)
        feasible = Feasible(self._pairs, self._points)
        bar = best.seconds[-1] if len(best) >= search.top_k and search.method == "bounded" else np.inf
        found, priced = choose(pricer, feasible, bar, search.top_k, exhaustive=search.method == "exhaustive")
        local = Best(found.seconds, self._rows[found.layout], found.work, found.state)
        return best.merge(local, search.top_k), priced

    def best_each(self) -> Best:
        """Return the best point of every layout that has one, ascending by layout."""
        pricer = price(self._problem, self._layouts, self._options)
        bounds = np.where(self._pairs, pricer.bounds(), np.inf)
        standing = np.flatnonzero(self._pairs.any(axis=1))
        first = self._priced(pricer, standing, bounds[standing].argmin(axis=1))
        limit = np.full(len(bounds), -np.inf)
        limit[first.layout] = first.seconds
        layout, work = np.nonzero(self._pairs & (bounds <= limit[:, None]))
        found = self._priced(pricer, layout, work)
        order = np.lexsort((found.state, found.work, found.seconds, found.layout))
        leading = order[np.flatnonzero(np.diff(found.layout[order], prepend=-1))]
        return Best(
            found.seconds[leading], self._rows[found.layout[leading]], found.work[leading], found.state[leading]
        )

    def _priced(self, pricer: Pricer, layout: Ints, work: Ints) -> Best:
        """Return each pair with its best state option."""
        stands = self._points(layout, work)
        states = np.flatnonzero(stands.any(axis=0))
        if not len(states):
            return Best.empty()
        seconds = np.where(stands[:, states], pricer.seconds(layout, work, states), np.inf)
        chosen = seconds.argmin(axis=1)
        return Best(seconds[np.arange(len(layout)), chosen], layout, work, states[chosen])

    def least_over(self) -> float:
        """Return by how many bytes the nearest admitted point misses fitting, any work beside any state option."""
        used = self._memory.activations + self._memory.buffers
        room = self._problem.device.memory_bytes - self._memory.state.total(self._options)
        work = np.asarray(self._work.any(axis=(2, 5, 6)))
        state = np.asarray(self._state.any(axis=(3, 4)))
        over = np.max(used[..., None, None] - room[:, :, None, None, None], axis=1)
        admitted = work[..., None, None] & state[:, None, None, None]
        return float(np.min(over, where=admitted, initial=np.inf))

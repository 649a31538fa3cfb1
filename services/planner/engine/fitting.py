"""Which admitted options fit in memory beside each layout.

Memory depends on sequence parallel, recompute and activation offload among the work options and on sharding and
optimizer offload among the state options. Of the latter more only helps, so one number says it all: the least share
that is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.memory import needed_offload, stage_memory
from planner.engine.space import WORK_AXES
from planner.engine.space.options import MEMORY_WORK_AXES
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Bools, Ints


def memory_columns(options: Options, work: Bools) -> Ints:
    """Return how many of each row's work options `work` share each value of what memory depends on.

    Shape (rows, sequence parallel x recompute x activation offload).
    """
    other = tuple(axis for axis in range(1, 1 + WORK_AXES) if axis not in MEMORY_WORK_AXES)
    counts: Ints = np.count_nonzero(work.reshape(len(work), *options.work_shape), axis=other)
    return counts.reshape(len(work), -1)


def memory_column_of(options: Options, sequence: Ints, recompute: Ints, offload: Ints) -> Ints:
    """Return the column of `memory_columns` at these values."""
    column: Ints = (sequence * len(options.recomputes) + recompute) * len(options.activation_offload) + offload
    return column


@dataclass(frozen=True, slots=True)
class Fitting:
    """`enough`: index of the least offload share with which all stages fit, the number of shares where none is enough.

    Shape (layouts, shardings, columns): only the `shardings` and `columns` (of `memory_columns`) asked for.
    """

    enough: Ints
    columns: Ints
    shardings: Ints


def fitting(problem: Problem, layouts: Layouts, options: Options, columns: Ints, shardings: Ints) -> Fitting:
    """Return what fits beside `layouts` under the options at `columns` and `shardings`."""
    narrow, local = _narrowed(options, columns, shardings)
    stages = candidate_stages(problem.architecture, layouts)
    stages = stages.columns(np.asarray(stages.undominated().any(axis=0)))
    needed = needed_offload(problem, stage_memory(problem, layouts, narrow, stages), local)
    return Fitting(np.searchsorted(options.optimizer_offload, needed), columns, shardings)


def _narrowed(options: Options, columns: Ints, shardings: Ints) -> tuple[Options, Ints]:
    """Return options of only the values that occur, and the columns' indices among them."""
    shape = len(options.sequence_parallel), len(options.recomputes), len(options.activation_offload)
    kept, local = zip(*(np.unique(axis, return_inverse=True) for axis in np.unravel_index(columns, shape)), strict=True)
    narrow = replace(
        options,
        sequence_parallel=options.sequence_parallel[kept[0]],
        recomputes=tuple(options.recomputes[index] for index in kept[1]),
        activation_offload=options.activation_offload[kept[2]],
        sharding=options.sharding[shardings],
    )
    return narrow, memory_column_of(narrow, *local)

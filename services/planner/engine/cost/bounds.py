"""A lower bound of each layout's iteration time over all its options, cheap enough for every layout.

The pipeline's time, K max t + (sum t - max t) f with 0 <= f <= 1 falling in max t no faster than K max t rises, grows
with every layer's time. Recomputation and offload only add to a layer's time, so the least time over the other
options bounds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.layer import layer_times
from planner.engine.cost.price import SAFE
from planner.engine.cost.stage import layer_shapes
from planner.engine.cost.step import exposed_share, fixed_seconds, step_times, straggling
from planner.engine.space.pipelines import SCHEDULES
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats

_ZERO_BUBBLE = SCHEDULES.index("zero_bubble")


def layout_bounds(problem: Problem, layouts: Layouts, options: Options) -> Floats:
    """Return the bounds in seconds, shape (layouts,)."""
    if not len(layouts):
        return np.zeros(0)
    first, row = layer_shapes(layouts)
    shapes = ops.Shapes.of(problem, layouts.take(first))
    is_moe = problem.architecture.is_moe
    dense, dense_weight = _least(problem, options, shapes, moe=False)
    moe, moe_weight = _least(problem, options, shapes, moe=True) if is_moe else (dense, dense_weight)
    lookup = ops.embedding(problem, shapes, np.ones_like(shapes.tokens))
    head = ops.head_and_loss(problem, shapes)
    ends = lookup.forward + lookup.input_grad, head.forward + head.input_grad + head.weight_grad

    def over_stages(per_dense: Floats, per_moe: Floats, embedding: Floats, loss: Floats) -> Floats:
        prediction = stages.last * problem.mtp
        dense_count = stages.dense_layers + (0 if is_moe else prediction)
        seconds = dense_count * per_dense[row, None] + stages.first * embedding[row, None]
        if is_moe:
            seconds = seconds + (stages.moe_layers + prediction) * per_moe[row, None]
        total: Floats = seconds + stages.last * (1 + problem.mtp) * loss[row, None]
        return total

    stages = candidate_stages(problem.architecture, layouts)
    per_stage = over_stages(dense, moe, *ends)
    slowest = per_stage.max(axis=1)
    weights = over_stages(dense_weight, moe_weight, np.zeros_like(dense), head.weight_grad).max(axis=1)
    whole = _whole(problem, dense[row], moe[row]) + ends[0][row] + (1 + problem.mtp) * ends[1][row]
    deferred = np.where(layouts.schedule == _ZERO_BUBBLE, np.minimum(2 * weights / slowest, 1), 0)
    fill = np.maximum(whole - slowest, 0) * layouts.fill_share * (1 - deferred)
    pipeline = layouts.micro_batches * slowest + fill + _fill_transfers(problem, layouts)
    bounds: Floats = (pipeline + fixed_seconds(problem)) * straggling(problem, layouts)
    return bounds * SAFE


def step_floor(problem: Problem, layouts: Layouts, options: Options) -> Floats:
    """Return the least seconds any state option adds to `layout_bounds`, shape (layouts,)."""
    step = step_times(problem, layouts, options)
    shown = exposed_share(problem)
    traffic = np.where(options.grad_reduce_overlap.any(), shown, 1.0) * step.reduce
    traffic = traffic + np.where(options.param_gather_overlap.any(), shown, 1.0) * step.gather
    stepping = (step.optimizer + step.offload).min(axis=2)
    floor: Floats = (traffic + stepping).min(axis=1) * step.straggling
    return floor * SAFE


def _least(problem: Problem, options: Options, shapes: ops.Shapes, *, moe: bool) -> tuple[Floats, Floats]:
    """Return the least time and the weight gradient of one layer for each shape, over the options of `fastest`."""
    times = layer_times(problem, options.fastest, shapes, moe=moe)
    total = (times.forward.total + times.backward.total).reshape(len(shapes.tensor), -1)
    return total.min(axis=1), times.weight_grad.reshape(len(shapes.tensor), -1).max(axis=1)


def _whole(problem: Problem, dense: Floats, moe: Floats) -> Floats:
    arch = problem.architecture
    routed = (arch.layers - arch.leading_dense_layers) / arch.moe_period if arch.is_moe else 0.0
    prediction = problem.mtp
    plain = arch.layers - routed + (0 if arch.is_moe else prediction)
    return plain * dense + (routed + prediction) * moe if arch.is_moe else plain * dense


def _fill_transfers(problem: Problem, layouts: Layouts) -> Floats:
    """Filling the pipeline waits for every transfer whatever overlaps later."""
    tokens = layouts.micro_batch * (problem.sequence / layouts.context)
    size_bytes = 2.0 * tokens * problem.architecture.hidden_size / layouts.tensor
    distance = layouts.tensor * layouts.context * layouts.data
    return 2.0 * (layouts.pipeline - 1) * transfer_seconds(problem.device, distance, size_bytes)

"""What each GPU type takes per layer, per stage end and per step, for every common strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.catalog import GIB
from planner.engine.cost import operators as ops
from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.layer import layer_times
from planner.engine.cost.stage import layer_shapes
from planner.engine.cost.step import StepTimes, step_times_of
from planner.engine.memory import StageParameters, activation_bytes, stage_parameters, state_bytes
from planner.engine.memory.state import layer_parameters
from planner.engine.space.pipelines import SPLITS, PipelineShapes
from planner.engine.stages import stages_at

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats, Ints


@dataclass(frozen=True, slots=True)
class Pool:
    """One GPU type of the mix and how many of it there may be.

    `inter_type_rate` bounds links to other types, bytes per second.
    """

    problem: Problem
    limit: int
    inter_type_rate: float | None


@dataclass(frozen=True, slots=True)
class TypeTables:
    """Of one GPU type. `layer`, `first`, `last`.

    Seconds per micro-batch; `hop`: seconds of a transfer pair within the type.

    `layer` has shape (layouts, work options), `first`, `last` and `hop` (layouts,).
    """

    layer: Floats
    backward: Floats
    forward: Floats
    first: Floats
    last: Floats
    hop: Floats


@dataclass(frozen=True, slots=True)
class MemoryTables:
    """Bytes per layer and at the ends, the same on every type; (layouts, state options) or (layouts, work options)."""

    layer_state: Floats
    layer_activations: Floats
    first_state: Floats
    last_state: Floats
    fixed: Floats
    last_fixed: Floats


def even_shapes(layers: int, stages: Ints) -> PipelineShapes:
    """Return one-chunk 1F1B pipelines of the given degrees; their layer counts stand in until layers are dealt."""
    each = np.maximum(layers // stages, 1)
    zeros = np.zeros_like(stages)
    return PipelineShapes(stages, zeros + 1, zeros, zeros + SPLITS.index("layout"), each, each, each)


def type_tables(problem: Problem, layouts: Layouts, options: Options) -> TypeTables:
    """Return the times of one GPU type."""
    kept, row = layer_shapes(layouts)
    shapes = ops.Shapes.of(problem, layouts.take(kept))
    total, forward, backward = _mean_layer(problem, options, shapes)
    lookup = ops.embedding(problem, shapes, np.ones_like(shapes.tokens))
    head = ops.head_and_loss(problem, shapes)
    loss = (head.forward + head.input_grad + head.weight_grad) * (1 + problem.mtp)
    size_bytes = transfer_bytes(problem, layouts)
    stride = layouts.tensor * layouts.context * layouts.data
    hop = np.where(layouts.pipeline > 1, 2.0 * transfer_seconds(problem.device, stride, size_bytes), 0.0)
    return TypeTables(
        layer=total[row],
        forward=forward[row],
        backward=backward[row],
        first=(lookup.forward + lookup.input_grad)[row],
        last=loss[row],
        hop=hop,
    )


def transfer_bytes(problem: Problem, layouts: Layouts) -> Floats:
    """Return the bytes each rank sends to the next stage per micro-batch."""
    tokens = layouts.micro_batch * (problem.sequence / layouts.context)
    size: Floats = 2.0 * tokens * problem.architecture.hidden_size / layouts.tensor
    return size


def _mean_layer(problem: Problem, options: Options, shapes: ops.Shapes) -> tuple[Floats, Floats, Floats]:
    """Return total, forward and backward seconds of the mean layer, (shapes, work options).

    Full recomputation repeats forward.
    """
    arch = problem.architecture
    redo = np.array([setting.share for setting in options.recomputes]).reshape(1, 1, 1, -1, 1, 1, 1)
    parts = []
    for moe in (False, True) if arch.is_moe else (False,):
        times = layer_times(problem, options, shapes, moe=moe)
        forward = times.forward.total
        backward = times.backward.total + times.again.total + redo * forward
        share = arch.moe_layer_count / arch.layers if moe else 1 - arch.moe_layer_count / arch.layers
        parts.append((share * forward, share * backward))
    shape = (len(shapes.tensor), *options.work_shape)
    flat = (len(shapes.tensor), math.prod(options.work_shape))
    forward, backward = (np.broadcast_to(sum(part[index] for part in parts), shape).reshape(flat) for index in (0, 1))
    return forward + backward, forward, backward


def memory_tables(problem: Problem, layouts: Layouts, options: Options) -> MemoryTables:
    """Return what layers and stage ends hold, from the same counts that price a stage of any other search."""
    arch = problem.architecture
    layer, ends = mean_layer_parameters(problem, layouts), end_parameters(problem, layouts)
    kept = activation_bytes(problem, layouts, options)
    share = arch.moe_layer_count / arch.layers
    full = np.array([setting.granularity == "full" for setting in options.recomputes])
    per_layer = np.where(full, kept.boundary, (1 - share) * kept.dense + share * kept.moe)
    state = [_state(problem, layouts, options, parameters) for parameters in (layer, ends)]
    return MemoryTables(
        layer_state=state[0][:, 0],
        layer_activations=_work(per_layer * (1 + problem.device.calibration.fragmentation), options),
        first_state=state[1][:, 0],
        last_state=state[1][:, 1],
        fixed=_work(kept.working + 2 * kept.boundary, options) + problem.device.calibration.framework_gib * GIB,
        last_fixed=kept.logits,
    )


def mean_layer_parameters(problem: Problem, layouts: Layouts) -> StageParameters:
    """Return the parameters one rank holds of the mean layer, shape (layouts, 1)."""
    arch = problem.architecture
    dense, moe, experts = (column[:, None] for column in layer_parameters(problem, layouts))
    share = arch.moe_layer_count / arch.layers
    return StageParameters((1 - share) * dense + share * moe, share * experts)


def end_parameters(problem: Problem, layouts: Layouts) -> StageParameters:
    """Return the parameters that embedding and loss add to the first and last stage, shape (layouts, 2)."""
    index = np.stack([np.zeros_like(layouts.pipeline), layouts.pipeline - 1], axis=1)
    none = np.zeros_like(index)
    ends = replace(stages_at(problem.architecture, layouts, index), dense_layers=none, moe_layers=none * 1.0)
    return stage_parameters(problem, layouts, ends)


def _state(problem: Problem, layouts: Layouts, options: Options, parameters: StageParameters) -> Floats:
    """Return state bytes, shape (layouts, columns of `parameters`, flat state options)."""
    total = state_bytes(problem, layouts, options, parameters).total(options)[..., None, None]
    return np.broadcast_to(total, (*total.shape[:2], *options.state_shape)).reshape(
        *total.shape[:2], math.prod(options.state_shape)
    )


def _work(values: Floats, options: Options) -> Floats:
    """Spread (layouts, sequence parallel, recompute) over the flat work options."""
    spread = values[:, :, None, :, None, None, None]
    return np.broadcast_to(spread, (len(values), *options.work_shape)).reshape(
        len(values), math.prod(options.work_shape)
    )


def once_seconds(problem: Problem, layouts: Layouts, options: Options, end: str) -> StepTimes:
    """Return the once-per-step times of stages of 1 to all layers, one row per layer count, for a single layout.

    `end` is `first`, `last` or `middle`.
    """
    counts = np.arange(1, problem.architecture.layers + problem.mtp + 1, dtype=np.float64)[:, None]
    layer, ends = mean_layer_parameters(problem, layouts), end_parameters(problem, layouts)
    column = {"first": 0, "last": 1}.get(end)
    extra = 0.0 if column is None else ends.shared[0, column]
    inside = 0.0 if column is None else ends.expert[0, column]
    parameters = StageParameters(counts * layer.shared[0, 0] + extra, counts * layer.expert[0, 0] + inside)
    repeated = layouts.take(np.zeros(len(counts), np.int64))
    return step_times_of(problem, repeated, options, parameters)

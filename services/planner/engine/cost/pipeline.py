"""Stages and schedules: the time of a step's forward and backward passes.

With K micro-batches and stage times t_i, 1F1B takes sum_i t_i + (K - 1) max_i t_i. Interleaving v chunks divides the
fill by v (Narayanan et al. 2021, arXiv 2104.04473); ZB-H1 fills it with weight gradients, leaving (p - 1)(F + B - W)
of (p - 1)(F + B + W) (Qi et al. 2023, arXiv 2401.10241).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.axes import OFFLOAD, RECOMPUTE, TRANSFER_OVERLAP, lift, rows
from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.layer import LayerTimes, Pass, layer_times
from planner.engine.grouping import group_rows
from planner.engine.memory.activations import activation_bytes
from planner.engine.space.pipelines import SCHEDULES
from planner.engine.stages import Stages, all_stages, candidate_stages, recomputed_layers

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats, Ints

_ZERO_BUBBLE = SCHEDULES.index("zero_bubble")


@dataclass(frozen=True, slots=True)
class PipelineTimes:
    """Seconds per step, work arrays: passes of the slowest stage over all micro-batches, and what comes on top.

    `last_backward` is the slowest stage's last backward pass, under which gradients may be reduced; `first_forward`
    its first forward pass, under which weights may be gathered.
    """

    steady: Pass
    bubble: Floats
    transfers: Floats
    offload: Floats
    first_forward: Floats
    last_backward: Floats

    @property
    def total(self) -> Floats:
        """The whole pipeline."""
        return self.steady.total + self.bubble + self.transfers + self.offload


def layer_shapes(layouts: Layouts) -> tuple[Ints, Ints]:
    """Return a layout of each distinct layer shape, and every layout's shape."""
    columns = (layouts.tensor, layouts.context, layouts.expert, layouts.expert_tensor, layouts.micro_batch)
    return group_rows(np.stack(columns, axis=1))


@dataclass(frozen=True, slots=True)
class _Tables:
    """Layer tables by distinct shape, and the row of each layout in them."""

    row: Ints
    dense: LayerTimes
    moe: LayerTimes
    embedding: Floats
    head: ops.Work


def _tables(problem: Problem, layouts: Layouts, options: Options) -> _Tables:
    """Layouts share few distinct layer shapes; operators are priced once per shape."""
    first, row = layer_shapes(layouts)
    shapes = ops.Shapes.of(problem, layouts.take(first))
    dense = layer_times(problem, options, shapes, moe=False)
    moe = layer_times(problem, options, shapes, moe=True) if problem.architecture.is_moe else dense
    lookup = ops.embedding(problem, shapes, np.ones_like(shapes.tokens))
    return _Tables(row, dense, moe, lookup.forward + lookup.input_grad, ops.head_and_loss(problem, shapes))


def pipeline_times(problem: Problem, layouts: Layouts, options: Options) -> PipelineTimes:
    """Return the pipeline's time for every layout and work option."""
    tables = _tables(problem, layouts, options)
    stages = candidate_stages(problem.architecture, layouts)
    recomputed = recomputed_layers(stages, layouts.virtual, options.recomputes)
    per_stage = [_stage(problem, tables, stages, recomputed, column) for column in range(stages.index.shape[1])]
    slowest = per_stage[0]
    for stage in per_stage[1:]:
        slowest = _slower(slowest, stage)
    whole = _whole(problem, layouts, tables, recomputed)
    return _schedule(problem, layouts, options, slowest, whole)


def stage_seconds(problem: Problem, layouts: Layouts, options: Options) -> list[tuple[float, float, float]]:
    """Return (forward, backward, weight gradient) per micro-batch of every stage of one layout and option.

    The backward pass includes recomputation and the weight gradient.
    """
    tables = _tables(problem, layouts, options)
    stages = all_stages(problem.architecture, layouts)
    recomputed = recomputed_layers(stages, layouts.virtual, options.recomputes)
    each = [_stage(problem, tables, stages, recomputed, column) for column in range(stages.index.shape[1])]
    return [(one.forward.item(), (one.total - one.forward).item(), one.weight_grad.item()) for one in each]


@dataclass(frozen=True, slots=True)
class _StageTime:
    passes: Pass
    total: Floats
    forward: Floats
    weight_grad: Floats


def _mix(dense: Floats, moe: Floats, dense_count: Floats, moe_count: Floats, row: Ints, *, is_moe: bool) -> Floats:
    value = dense[row if len(dense) > 1 else slice(None)] * dense_count
    return value + moe[row if len(moe) > 1 else slice(None)] * moe_count if is_moe else value


def _combine(problem: Problem, tables: _Tables, dense: Floats, moe: Floats, recomputed: Floats) -> _StageTime:
    """Sum layers into a stage: `dense` and `moe` count its layers, `recomputed` how many of them run forward again."""
    is_moe = problem.architecture.is_moe
    share = recomputed / np.maximum(dense + moe, 1)

    def gather(part: str, cause: str, dense_count: Floats, moe_count: Floats) -> Floats:
        ones, others = (getattr(getattr(times, part), cause) for times in (tables.dense, tables.moe))
        return _mix(ones, others, dense_count, moe_count, tables.row, is_moe=is_moe)

    def cause_total(cause: str) -> Floats:
        forward = gather("forward", cause, dense * (1 + share), moe * (1 + share))
        return forward + gather("backward", cause, dense, moe) + gather("again", cause, dense, moe)

    passes = Pass(*(cause_total(cause) for cause in ("compute", "tp", "cp", "ep")))
    forward = _mix(tables.dense.forward.total, tables.moe.forward.total, dense, moe, tables.row, is_moe=is_moe)
    weight_grad = _mix(tables.dense.weight_grad, tables.moe.weight_grad, dense, moe, tables.row, is_moe=is_moe)
    return _StageTime(passes, passes.total, forward, weight_grad)


def _ends(problem: Problem, tables: _Tables, first: Floats, last: Floats) -> tuple[Floats, Floats, Floats]:
    """Return compute, forward and weight gradient that embedding and loss add where they stand."""
    row = tables.row
    lookup, head = rows(tables.embedding[row]), tables.head
    heads = last * (1 + problem.mtp)
    forward, weight_grad = rows(head.forward[row]), rows(head.weight_grad[row])
    compute = first * lookup + heads * (forward + rows(head.input_grad[row]) + weight_grad)
    return compute, heads * forward, heads * weight_grad


def _with_ends(problem: Problem, tables: _Tables, layers: _StageTime, first: Floats, last: Floats) -> _StageTime:
    compute, forward, weight_grad = _ends(problem, tables, first, last)
    passes = Pass(layers.passes.compute + compute, layers.passes.tp, layers.passes.cp, layers.passes.ep)
    return _StageTime(passes, layers.total + compute, layers.forward + forward, layers.weight_grad + weight_grad)


def _stage(problem: Problem, tables: _Tables, stages: Stages, recomputed: Floats, column: int) -> _StageTime:
    prediction = stages.last[:, column] * problem.mtp
    dense = stages.dense_layers[:, column] + (0 if problem.architecture.is_moe else prediction)
    moe = stages.moe_layers[:, column] + (prediction if problem.architecture.is_moe else 0)
    again = lift(recomputed[:, column], 0, RECOMPUTE)
    layers = _combine(problem, tables, rows(dense), rows(moe), again)
    return _with_ends(problem, tables, layers, rows(stages.first[:, column]), rows(stages.last[:, column]))


def _whole(problem: Problem, layouts: Layouts, tables: _Tables, recomputed: Floats) -> Floats:
    """Return the sum over all stages of their time per micro-batch."""
    arch = problem.architecture
    moe = (arch.layers - arch.leading_dense_layers) / arch.moe_period + problem.mtp * arch.is_moe
    dense = arch.layers - (arch.layers - arch.leading_dense_layers) / arch.moe_period + problem.mtp * (not arch.is_moe)
    one = layouts.pipeline == 1
    middle = np.where(one, 0, layouts.pipeline - 2)[:, None] * recomputed[:, 1]
    again = recomputed[:, 0] + np.where(one[:, None], 0, middle + recomputed[:, -1])
    layers = _combine(problem, tables, rows([dense]), rows([moe]), lift(again, 0, RECOMPUTE))
    ones = rows(np.ones(len(layouts)))
    return _with_ends(problem, tables, layers, ones, ones).total


def _slower(left: _StageTime, right: _StageTime) -> _StageTime:
    choose = right.total > left.total

    def pick(a: Floats, b: Floats) -> Floats:
        return np.where(choose, b, a)

    passes = Pass(*(pick(getattr(left.passes, c), getattr(right.passes, c)) for c in ("compute", "tp", "cp", "ep")))
    return _StageTime(
        passes,
        pick(left.total, right.total),
        pick(left.forward, right.forward),
        pick(left.weight_grad, right.weight_grad),
    )


def _schedule(
    problem: Problem,
    layouts: Layouts,
    options: Options,
    slowest: _StageTime,
    whole: Floats,
) -> PipelineTimes:
    micro_batches, virtual = rows(layouts.micro_batches), rows(layouts.virtual)
    fill = (whole - slowest.total) / virtual
    deferred = np.minimum(2.0 * slowest.weight_grad / slowest.total, 1.0)
    bubble = fill * (1.0 - deferred * rows(layouts.schedule == _ZERO_BUBBLE))
    return PipelineTimes(
        steady=slowest.passes.map(lambda seconds: seconds * micro_batches),
        bubble=bubble,
        transfers=_transfers(problem, layouts, options, slowest.forward / virtual),
        offload=_offloaded(problem, layouts, options, slowest.forward) * micro_batches,
        first_forward=slowest.forward,
        last_backward=slowest.total - slowest.forward,
    )


def _transfers(problem: Problem, layouts: Layouts, options: Options, chunk_forward: Floats) -> Floats:
    """Each micro-batch enters and leaves a stage once per chunk in both passes.

    Overlapped, only what outlasts a chunk shows.
    """
    device = problem.device
    tokens = layouts.micro_batch * (problem.sequence / layouts.context)
    size_bytes = 2.0 * tokens * problem.architecture.hidden_size / layouts.tensor
    distance = layouts.tensor * layouts.context * layouts.data
    once = rows(np.where(layouts.pipeline > 1, transfer_seconds(device, distance, size_bytes), 0.0))
    hidden = np.maximum(
        once - chunk_forward * device.calibration.overlap_window, device.calibration.exposed_floor * once
    )
    overlapped = lift(options.p2p_overlap, TRANSFER_OVERLAP) > 0
    per_crossing = np.where(overlapped, hidden, once)
    crossings = rows((layouts.micro_batches - 1) * layouts.virtual)
    return 2.0 * (crossings * per_crossing + rows(layouts.pipeline - 1) * once)


def _offloaded(problem: Problem, layouts: Layouts, options: Options, forward: Floats) -> Floats:
    """Activations leave for the host under the forward pass and return under the backward one."""
    if not options.activation_offload.any():
        return np.zeros((1,) * 7)
    kept = activation_bytes(problem, layouts, options)
    layers = np.maximum(layouts.first_layers, layouts.middle_layers)[:, None, None]
    moved = layers * np.maximum(kept.dense, kept.moe if problem.architecture.is_moe else kept.dense)
    seconds = lift(moved / problem.device.host_rate, 0, 1, RECOMPUTE)
    late = np.maximum(seconds - forward, 0.05 * seconds)
    return 2.0 * late * lift(options.activation_offload, OFFLOAD)

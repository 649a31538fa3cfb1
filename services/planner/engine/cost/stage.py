"""What one pipeline stage takes per micro-batch: the layers it holds, and embedding and loss where they stand."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.axes import OFFLOAD, TRANSFER_OVERLAP
from planner.engine.cost.layer import LayerTimes, Pass, layer_times
from planner.engine.grouping import group_rows
from planner.engine.stages import recomputed_layers

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options, Pairs
    from planner.engine.stages import Stages
    from planner.engine.types import Bools, Floats, Ints

_CAUSES = tuple(cause.name for cause in fields(Pass))


def layer_shapes(layouts: Layouts) -> tuple[Ints, Ints]:
    """Return a layout of each distinct layer shape, and every layout's shape."""
    columns = (layouts.tensor, layouts.context, layouts.expert, layouts.expert_tensor, layouts.micro_batch)
    return group_rows(columns)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What stages hold: of each pair, shape (pairs,), or of each layout, shape (layouts, stages).

    Layers of each kind, the share of them that runs forward again (of layouts: by recompute setting, a last axis), and
    the ends' seconds: all passes, forward alone and weight gradient.
    """

    dense: Floats
    moe: Floats
    again: Floats
    ends: Floats
    ends_forward: Floats
    ends_weight_grad: Floats

    @property
    def stages(self) -> int:
        """Stages of each layout."""
        return int(self.dense.shape[1])

    def of(self, pairs: Pairs, stage: Ints | int) -> Holdings:
        """Return what the one stage of each pair's layout, or each pair's own, holds."""
        return Holdings(
            self.dense[pairs.layout, stage],
            self.moe[pairs.layout, stage],
            self.again[pairs.layout, stage, pairs.recompute],
            self.ends[pairs.layout, stage],
            self.ends_forward[pairs.layout, stage],
            self.ends_weight_grad[pairs.layout, stage],
        )


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer of each pair, seconds per micro-batch, shape (pairs,).

    `passes`: both, with what selective recomputation repeats.
    """

    passes: Floats
    forward: Floats
    weight_grad: Floats

    @classmethod
    def of(cls, times: LayerTimes, shape: tuple[int, ...], point: Ints) -> Self:
        """Gather from work arrays that broadcast to `shape`, at flat indices `point`."""
        passes = times.forward.total + times.backward.total + times.again.total
        columns = (passes, times.forward.total, times.weight_grad)
        return cls(*(_gathered(column, shape, point) for column in columns))


def _gathered(values: Floats, shape: tuple[int, ...], point: Ints) -> Floats:
    return np.broadcast_to(values, shape).reshape(-1)[point]


@dataclass(frozen=True, slots=True)
class LayerTables:
    """Layers of each pair. Operators are priced once per distinct shape: layouts share few."""

    dense: _Layer
    moe: _Layer | None
    shape_of: Ints
    embedding: Floats
    head: ops.Work
    _times: tuple[LayerTimes, ...]
    _shape: tuple[int, ...]
    _point: Ints

    @classmethod
    def of(cls, problem: Problem, layouts: Layouts, options: Options, pairs: Pairs) -> Self:
        """Price the layers of `pairs`."""
        first, shape_of = layer_shapes(layouts)
        shapes = ops.Shapes.of(problem, layouts.take(first))
        kinds = (False, True) if problem.architecture.is_moe else (False,)
        times = tuple(layer_times(problem, options, shapes, moe=moe) for moe in kinds)
        shape = _table_shape(len(first), options)
        point = _flat_point(shape, shape_of[pairs.layout], pairs)
        layers = [_Layer.of(one, shape, point) for one in times]
        lookup = ops.embedding(problem, shapes, np.ones_like(shapes.tokens))
        return cls(
            dense=layers[0],
            moe=layers[1] if len(layers) > 1 else None,
            shape_of=shape_of,
            embedding=lookup.forward + lookup.input_grad,
            head=ops.head_and_loss(problem, shapes),
            _times=times,
            _shape=shape,
            _point=point,
        )

    def seconds(self, held: Holdings) -> Floats:
        """Return the seconds of both passes of a stage, recomputation included."""
        seconds = held.dense * (self.dense.passes + held.again * self.dense.forward)
        if self.moe is not None:
            seconds += held.moe * (self.moe.passes + held.again * self.moe.forward)
        seconds += held.ends
        return seconds

    def slowest(self, stages: Holdings, pairs: Pairs) -> tuple[Holdings, Floats]:
        """Return what the slowest stage of each pair holds, and its seconds per micro-batch; of equals the first."""
        slowest, most = np.zeros(len(pairs), np.int64), np.full(len(pairs), -np.inf)
        for stage in range(stages.stages):
            share = stages.again[:, stage][pairs.layout, pairs.recompute]
            seconds = stages.dense[:, stage][pairs.layout] * (self.dense.passes + share * self.dense.forward)
            if self.moe is not None:
                seconds += stages.moe[:, stage][pairs.layout] * (self.moe.passes + share * self.moe.forward)
            seconds += stages.ends[:, stage][pairs.layout]
            slowest[seconds > most] = stage
            np.maximum(most, seconds, out=most)
        return stages.of(pairs, slowest), most

    def forward(self, held: Holdings) -> Floats:
        """Return the seconds of a stage's forward pass alone."""
        forward = held.dense * self.dense.forward + held.ends_forward
        return forward if self.moe is None else forward + held.moe * self.moe.forward

    def weight_grad(self, held: Holdings) -> Floats:
        """Return the seconds of a stage's weight gradients."""
        weight_grad = held.dense * self.dense.weight_grad + held.ends_weight_grad
        return weight_grad if self.moe is None else weight_grad + held.moe * self.moe.weight_grad

    def by_cause(self, held: Holdings) -> Pass:
        """Return the parts of `seconds`."""
        causes = dict.fromkeys(_CAUSES, np.zeros(len(held.dense)))
        for times, count in zip(self._times, (held.dense, held.moe), strict=False):
            for cause in _CAUSES:
                forward, backward, repeated = (
                    _gathered(getattr(part, cause), self._shape, self._point)
                    for part in (times.forward, times.backward, times.again)
                )
                causes[cause] = causes[cause] + count * (forward * (1 + held.again) + backward + repeated)
        return Pass(**causes | {"compute": causes["compute"] + held.ends})


def _table_shape(shapes: int, options: Options) -> tuple[int, ...]:
    """Layer times do not depend on activation offload and pipeline transfers."""
    shape = [shapes, *options.work_shape]
    shape[OFFLOAD] = shape[TRANSFER_OVERLAP] = 1
    return tuple(shape)


def _flat_point(shape: tuple[int, ...], row: Ints, pairs: Pairs) -> Ints:
    zeros = np.zeros_like(row)
    index = [row, pairs.sequence, pairs.tp_overlap, pairs.recompute, zeros, zeros, pairs.context_comm]
    point: Ints = np.ravel_multi_index(index, shape)
    return point


def stage_holdings(
    problem: Problem, layouts: Layouts, options: Options, tables: LayerTables, stages: Stages
) -> Holdings:
    """Return what each of `stages` of every layout holds."""
    recomputed = recomputed_layers(stages, layouts.virtual, options.recomputes)
    prediction, is_moe = stages.last * problem.mtp, problem.architecture.is_moe
    dense = stages.dense_layers + (0 if is_moe else prediction)
    moe = stages.moe_layers + (prediction if is_moe else 0)
    share = recomputed / np.maximum(dense + moe, 1)[:, :, None]
    return Holdings(dense * 1.0, moe * 1.0, share, *_ends(problem, tables, stages.first, stages.last))


def whole_holdings(
    problem: Problem, layouts: Layouts, options: Options, tables: LayerTables, stages: Stages
) -> Holdings:
    """Return what all stages of every layout hold together, as if they were one; `stages` are the candidates."""
    arch = problem.architecture
    routed = (arch.layers - arch.leading_dense_layers) / arch.moe_period
    dense, moe = arch.layers - routed + problem.mtp * (not arch.is_moe), routed + problem.mtp * arch.is_moe
    recomputed = recomputed_layers(stages, layouts.virtual, options.recomputes)
    one = layouts.pipeline == 1
    middle = np.where(one, 0, layouts.pipeline - 2)[:, None] * recomputed[:, 1]
    again = recomputed[:, 0] + np.where(one[:, None], 0, middle + recomputed[:, -1])
    everywhere, each = np.ones((len(layouts), 1), np.bool_), np.ones((len(layouts), 1), np.float64)
    share = (again / max(dense + moe, 1))[:, None]
    return Holdings(each * float(dense), each * float(moe), share, *_ends(problem, tables, everywhere, everywhere))


def _ends(problem: Problem, tables: LayerTables, first: Bools, last: Bools) -> tuple[Floats, Floats, Floats]:
    """Return all passes, forward and weight gradient that embedding and loss add, shape (layouts, stages)."""
    lookup = tables.embedding[tables.shape_of][:, None]
    forward, input_grad, weight_grad = (
        getattr(tables.head, name)[tables.shape_of][:, None] for name in ops.Work.__slots__
    )
    heads = last * (1 + problem.mtp)
    compute = first * lookup + heads * (forward + input_grad + weight_grad)
    return compute, heads * forward, heads * weight_grad

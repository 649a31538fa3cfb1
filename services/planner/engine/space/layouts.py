"""Layouts: where every rank stands. A struct of arrays, one row per layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.errors import InvalidRequest
from planner.engine.space.pipelines import SCHEDULES, SPLITS, PipelineShapes, is_smooth, pipeline_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.engine.inputs.search import Space
    from planner.engine.problem import Problem
    from planner.engine.types import Bools, Floats, Ints


_LARGEST_MICRO_BATCH = 64
MOST_LAYOUTS = 8_000_000
"""A search never holds more layouts at once: some 60 bytes each, and as much again while rules look at them."""


@dataclass(frozen=True, slots=True)
class Layouts:
    """Columns, each of shape (rows,). `gpus` is the world size.

    Layers are those of first, each middle and last stage.
    """

    gpus: Ints
    tensor: Ints
    context: Ints
    pipeline: Ints
    virtual: Ints
    schedule: Ints
    split: Ints
    first_layers: Ints
    middle_layers: Ints
    last_layers: Ints
    data: Ints
    expert: Ints
    expert_tensor: Ints
    micro_batch: Ints
    micro_batches: Ints

    def __len__(self) -> int:
        return len(self.tensor)

    def take(self, rows: NDArray[np.intp] | Bools | slice) -> Self:
        """Return the chosen rows."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__slots__))

    @property
    def fill_share(self) -> Floats:
        """Share of a stage's time that its longest chunk takes: what each stage adds to filling the pipeline."""
        layers = np.maximum(np.maximum(self.first_layers, self.middle_layers), self.last_layers)
        share: Floats = -(-layers // self.virtual) / np.maximum(layers, 1)
        return share

    @classmethod
    def concatenate(cls, parts: Sequence[Layouts]) -> Layouts:
        """Return all rows of `parts`, in order."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def divisors(number: int) -> list[int]:
    """Return the divisors of `number`, ascending."""
    small = [value for value in range(1, int(number**0.5) + 1) if number % value == 0]
    return sorted({*small, *(number // value for value in small)})


def powers_of_two(limit: int) -> list[int]:
    """Return 1, 2, 4, ... up to `limit`."""
    return [1 << shift for shift in range(max(limit, 1).bit_length())]


@dataclass(frozen=True, slots=True)
class Axes:
    """The values each layout dimension takes."""

    tensor: Sequence[int]
    context: Sequence[int]
    expert: Sequence[int]
    expert_tensor: Sequence[int]
    micro_batch: Sequence[int]
    pipelines: PipelineShapes

    @property
    def size(self) -> int:
        """Points of the full product."""
        degrees = len(self.tensor) * len(self.context) * len(self.expert) * len(self.expert_tensor)
        return degrees * len(self.micro_batch) * len(self.pipelines)


def layout_axes(problem: Problem, space: Space, *, any_count: bool = False) -> Axes:
    """Return the values of every layout dimension, the user's where given.

    With `any_count` the stages need not divide the GPUs: `problem.gpus` is only the most there may be.
    """
    arch, limit = problem.architecture, problem.gpus
    tensor = space.tensor_parallel or _tensor_degrees(problem)
    context = space.context_parallel or powers_of_two(min(64, max(1, problem.sequence // 1024), limit))
    expert_tensor = space.expert_tensor_parallel or (powers_of_two(8) if arch.is_moe else [1])
    shapes = pipeline_shapes(
        arch.layers,
        tuple(space.pipeline_parallel or _stage_counts(arch.layers, limit, any_count=any_count)),
        tuple(space.virtual_pipeline) if space.virtual_pipeline else None,
        tuple(space.schedule or SCHEDULES),
        tuple(space.pipeline_split or SPLITS),
        problem.mtp,
    )
    return Axes(
        tensor=sorted(set(tensor)),
        context=sorted(set(context)),
        expert=sorted(set(space.expert_parallel or (divisors(arch.experts) if arch.is_moe else [1]))),
        expert_tensor=sorted(set(expert_tensor)),
        micro_batch=sorted(set(space.micro_batch_size or _micro_batches(problem.batch))),
        pipelines=shapes,
    )


def require_affordable(size: int) -> None:
    """Raise InvalidRequest when a product of `size` layouts would not fit in memory."""
    if size > MOST_LAYOUTS:
        raise InvalidRequest(
            "search.space",
            size,
            f"has more than {MOST_LAYOUTS} combinations of degrees",
            "list fewer values of tensor, pipeline, context or expert parallel, virtual pipeline or micro-batch",
        )


def _tensor_degrees(problem: Problem) -> list[int]:
    """Divisors of a node and powers of two up to four nodes (or a scale-up domain).

    Past that the network is always too slow.
    """
    device = problem.device
    reach = max(4 * device.gpus_per_node, min(device.domain, 64))
    degrees = {*divisors(device.gpus_per_node), *powers_of_two(reach)}
    return [degree for degree in sorted(degrees) if degree <= problem.gpus]


def _micro_batches(batch: int) -> list[int]:
    return [size for size in divisors(batch) if size <= _LARGEST_MICRO_BATCH]


def _stage_counts(layers: int, gpus: int, *, any_count: bool) -> list[int]:
    counts = range(1, min(gpus, layers + 2) + 1) if any_count else divisors(gpus)
    return [count for count in counts if count <= layers + 2 and (layers % count == 0 or is_smooth(count))]


def enumerate_any_count(problem: Problem, axes: Axes, most: int) -> Layouts:
    """Return the product of `axes` with every data-parallel degree that divides the batch, up to `most` GPUs."""
    replicas = np.asarray(divisors(problem.batch), np.int32)
    require_affordable(axes.size * len(replicas))
    tensor, context, expert, expert_tensor, micro_batch, shape, data = _product(axes, replicas)
    model = tensor.astype(np.int64) * context * axes.pipelines.stages[shape]
    within = (model * data <= most) & (problem.batch % (data.astype(np.int64) * micro_batch) == 0)
    tensor, context, expert, expert_tensor, micro_batch, shape, model, data = (
        column[within] for column in (tensor, context, expert, expert_tensor, micro_batch, shape, model, data)
    )
    gpus = (model * data).astype(np.int32)
    return assemble(gpus, problem.batch, tensor, context, expert, expert_tensor, micro_batch, axes.pipelines, shape)


def _product(axes: Axes, *more: Ints) -> list[Ints]:
    columns = (axes.tensor, axes.context, axes.expert, axes.expert_tensor, axes.micro_batch)
    grid = np.meshgrid(
        *(np.asarray(column, np.int32) for column in columns),
        np.arange(len(axes.pipelines), dtype=np.int32),
        *more,
        indexing="ij",
    )
    return [column.ravel() for column in grid]


def enumerate_layouts(problem: Problem, axes: Axes) -> Layouts:
    """Return the product of `axes` whose degrees divide the world and the batch.

    Dropped rows are counted by the caller.

    Row order is the product's, so that equal times tie-break the same way on every run.
    """
    require_affordable(axes.size)
    tensor, context, expert, expert_tensor, micro_batch, shape = _product(axes)
    gpus = np.full(len(tensor), problem.gpus, np.int32)
    return assemble(gpus, problem.batch, tensor, context, expert, expert_tensor, micro_batch, axes.pipelines, shape)


def assemble(
    gpus: Ints,
    batch: int,
    tensor: Ints,
    context: Ints,
    expert: Ints,
    expert_tensor: Ints,
    micro_batch: Ints,
    shapes: PipelineShapes,
    shape: Ints,
) -> Layouts:
    """Return layouts with what follows from the degrees filled in.

    `data` or `micro_batches` is 0 where nothing divides.
    """
    pipeline = shapes.stages[shape]
    model = tensor * context * pipeline
    data = np.where(gpus % model == 0, gpus // model, 0).astype(np.int32)
    per_step = np.maximum(data * micro_batch, 1)
    micro_batches = np.where((data > 0) & (batch % per_step == 0), batch // per_step, 0).astype(np.int32)
    return Layouts(
        gpus=gpus,
        tensor=tensor,
        context=context,
        pipeline=pipeline,
        virtual=shapes.chunks[shape],
        schedule=shapes.schedule[shape],
        split=shapes.split[shape],
        first_layers=shapes.first_layers[shape],
        middle_layers=shapes.middle_layers[shape],
        last_layers=shapes.last_layers[shape],
        data=data,
        expert=expert,
        expert_tensor=expert_tensor,
        micro_batch=micro_batch,
        micro_batches=micro_batches,
    )

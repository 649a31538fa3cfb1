"""Peak memory of each stage, and which points of the space fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.catalog import GIB
from planner.engine.grouping import group_rows
from planner.engine.memory.activations import ActivationBytes, activation_bytes, layer_columns
from planner.engine.memory.state import StateBytes, stage_parameters, state_bytes
from planner.engine.stages import INTERLEAVED, recomputed_layers

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.stages import Stages
    from planner.engine.types import Floats, Ints


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Bytes of each considered stage.

    Activations and buffers have shape (kinds, stages, sequence parallel, recompute, offload): layouts that differ in
    nothing they depend on share a row, which `kind` names for each layout.
    """

    state: StateBytes
    activations: Floats
    buffers: Floats
    kind: Ints


def activation_columns(layouts: Layouts) -> tuple[Ints, ...]:
    """Return the columns of `layouts` that activations and buffers depend on."""
    return (
        *layer_columns(layouts),
        layouts.pipeline,
        layouts.virtual,
        (layouts.schedule == INTERLEAVED).astype(np.int32),
        layouts.first_layers,
        layouts.middle_layers,
        layouts.last_layers,
        layouts.micro_batches,
    )


def stage_memory(problem: Problem, layouts: Layouts, options: Options, stages: Stages) -> StageMemory:
    """Return what every considered stage holds under every option that memory depends on."""
    first, kind = group_rows(activation_columns(layouts))
    distinct = layouts.take(first)
    kept = activation_bytes(problem, distinct, options)
    resident, transient = _activations(problem, distinct, options, stages.take(first), kept)
    calibration = problem.device.calibration
    framework = calibration.framework_gib * GIB
    return StageMemory(
        state=state_bytes(problem, layouts, options, stage_parameters(problem, layouts, stages)),
        activations=resident,
        buffers=framework + transient + calibration.fragmentation * resident,
        kind=kind,
    )


def _activations(
    problem: Problem,
    layouts: Layouts,
    options: Options,
    stages: Stages,
    kept: ActivationBytes,
) -> tuple[Floats, Floats]:
    """Return resident activations and the transient of recomputation, loss and pipeline transfers."""
    recomputed = recomputed_layers(stages, layouts.virtual, options.recomputes)[:, :, None, :]
    layers = stages.layers[:, :, None, None]
    dense, moe = stages.dense_layers[:, :, None, None], stages.moe_layers[:, :, None, None]
    prediction = (stages.last * problem.mtp)[:, :, None, None]
    resident = dense * kept.dense[:, None]
    if problem.architecture.is_moe or problem.mtp:
        resident += (moe + prediction) * kept.moe[:, None]
    resident *= 1 - recomputed / np.maximum(layers, 1)
    resident += recomputed * kept.boundary[:, None]
    in_flight = stages.in_flight[:, :, None, None]
    resident *= in_flight
    if options.activation_offload.any():
        on_host = 2 * np.maximum(kept.dense, kept.moe)[:, None] + in_flight * kept.boundary[:, None]
        moved = np.minimum(resident, on_host)
        resident = np.stack([moved if away else resident for away in options.activation_offload], axis=-1)
    else:
        resident = resident[..., None]
    transfers = 2 * kept.boundary[:, None] * (layouts.pipeline > 1)[:, None, None, None]
    transient = kept.working[:, None] + transfers + (stages.last * kept.logits[:, None])[:, :, None, None]
    return resident, transient[..., None]


def needed_offload(problem: Problem, memory: StageMemory, columns: Ints) -> Floats:
    """Return the optimizer share that must leave for all stages to fit, above 1 where all is not enough.

    Shape (layouts, shardings, columns); `columns` index (sequence parallel, recompute, activation offload) flattened.
    """
    state = memory.state
    room = problem.device.memory_bytes - state.fixed - state.optimizer
    per_byte = 1.0 / np.maximum(state.optimizer, 1.0)
    used = (memory.activations + memory.buffers).reshape(*memory.activations.shape[:2], -1)[:, :, columns]
    needed = np.full((len(room), room.shape[2], len(columns)), -np.inf)
    for stage in range(room.shape[1]):
        over = used[memory.kind, stage][:, None, :] - room[:, stage, :, None]
        over *= per_byte[:, stage, :, None]
        np.maximum(needed, over, out=needed)
    return needed


def bytes_over(problem: Problem, memory: StageMemory, options: Options) -> Floats:
    """Return by how many bytes the fullest stage exceeds the device, negative where all fit.

    Shape (layouts, sequence parallel, recompute, activation offload, sharding, optimizer offload).
    """
    used = (memory.activations + memory.buffers)[memory.kind]
    room = problem.device.memory_bytes - memory.state.total(options)
    over: Floats = np.max(used[..., None, None] - room[:, :, None, None, None], axis=1)
    return over

"""Peak memory of each stage, and which points of the space fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.catalog import GIB
from planner.engine.memory.activations import ActivationBytes, activation_bytes
from planner.engine.memory.state import StateBytes, stage_parameters, state_bytes
from planner.engine.stages import Stages, recomputed_layers

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Bytes of each considered stage. Activations and buffers.

    (layouts, stages, sequence parallel, recompute, offload).
    """

    state: StateBytes
    activations: Floats
    buffers: Floats


def stage_memory(problem: Problem, layouts: Layouts, options: Options, stages: Stages) -> StageMemory:
    """Return what every considered stage holds under every option that memory depends on."""
    parameters = stage_parameters(problem, layouts, stages)
    bytes_kept = activation_bytes(problem, layouts, options)
    resident, transient = _activations(problem, layouts, options, stages, bytes_kept)
    calibration = problem.device.calibration
    framework = calibration.framework_gib * GIB
    return StageMemory(
        state=state_bytes(problem, layouts, options, parameters),
        activations=resident,
        buffers=framework + transient + calibration.fragmentation * resident,
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
    whole = dense * kept.dense[:, None] + (moe + prediction) * kept.moe[:, None]
    share = recomputed / np.maximum(layers, 1)
    per_micro_batch = (1 - share) * whole + recomputed * kept.boundary[:, None]
    in_flight = stages.in_flight[:, :, None, None]
    resident = per_micro_batch * in_flight
    on_host = 2 * np.maximum(kept.dense, kept.moe)[:, None] + in_flight * kept.boundary[:, None]
    resident = np.stack([resident, np.minimum(resident, on_host)], axis=-1)[
        ..., options.activation_offload.astype(np.int64)
    ]
    transfers = 2 * kept.boundary[:, None] * (layouts.pipeline > 1)[:, None, None, None]
    transient = kept.working[:, None] + transfers + (stages.last * kept.logits[:, None])[:, :, None, None]
    return resident, transient[..., None]


def needed_offload(problem: Problem, memory: StageMemory, columns: Ints) -> Floats:
    """Return the optimizer share that must leave for all stages to fit, above 1 where all is not enough.

    Shape (layouts, columns, shardings); `columns` index (sequence parallel, recompute, activation offload) flattened.
    """
    state = memory.state
    room = problem.device.memory_bytes - state.fixed - state.optimizer
    per_byte = 1.0 / np.maximum(state.optimizer, 1.0)
    used = (memory.activations + memory.buffers).reshape(*room.shape[:2], -1)[:, :, columns]
    needed = np.full((len(room), len(columns), room.shape[2]), -np.inf)
    for stage in range(room.shape[1]):
        over = used[:, stage, :, None] - room[:, stage, None, :]
        over *= per_byte[:, stage, None, :]
        np.maximum(needed, over, out=needed)
    return needed


def fits(problem: Problem, options: Options, memory: StageMemory) -> Bools:
    """Return whether all stages fit, shape (layouts, sequence parallel, recompute, offload, sharding, share)."""
    shape = memory.activations.shape
    needed = needed_offload(problem, memory, np.arange(int(np.prod(shape[2:]))))
    inside: Bools = options.optimizer_offload >= needed[..., None]
    return inside.reshape(shape[0], *shape[2:], *inside.shape[2:])

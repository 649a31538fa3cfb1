"""Once per step: data-parallel traffic, the optimizer, and the overhead of being many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.collectives import Group, gather_seconds
from planner.engine.memory.state import StageParameters, sharding_ranks, stage_parameters
from planner.engine.space.options import Zero
from planner.engine.stages import candidate_stages

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats, Ints

_OPTIMIZER_BYTES = 34.0
_GRADIENT_PASSES_BYTES = 12.0
_HOST_STEP_BYTES = 28.0
_HOST_MEMORY_RATE = 150e9


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds per step. `reduce` and `gather`.

    Whole data-parallel traffic, shape (layouts, shardings); `repeats`: how many times a step it is spread over
    micro-batches, which is how often a pass can hide it. `optimizer`: (layouts, shardings, shares). `fixed`:
    (layouts,), and `straggling` multiplies everything.
    """

    reduce: Floats
    gather: Floats
    repeats: Floats
    optimizer: Floats
    offload: Floats
    fixed: Floats
    straggling: Floats


def step_times(problem: Problem, layouts: Layouts, options: Options) -> StepTimes:
    """Return the once-per-step times of every layout and state option."""
    parameters = stage_parameters(problem, layouts, candidate_stages(problem.architecture, layouts))
    return step_times_of(problem, layouts, options, parameters)


def step_times_of(problem: Problem, layouts: Layouts, options: Options, parameters: StageParameters) -> StepTimes:
    """Return the once-per-step times of a rank that holds the most of `parameters` over its columns."""
    shared, expert = parameters.shared.max(axis=1)[:, None], parameters.expert.max(axis=1)[:, None]
    zero = options.zero_stages
    shared_ranks, expert_ranks = sharding_ranks(problem, layouts, options)
    once_gradients = _gather(problem, layouts, shared, expert, float(problem.gradient_bytes), options)
    once_weights = _gather(problem, layouts, shared, expert, 1.0 if problem.is_low_precision else 2.0, options)
    repeats = np.where(zero >= Zero.GRADIENTS, layouts.micro_batches[:, None], 1).astype(np.float64)
    weight_repeats = np.where(
        zero >= Zero.WEIGHTS, 2.0 * layouts.micro_batches[:, None], np.where(zero == Zero.NOTHING, 0.0, 1.0)
    )
    reduce = once_gradients * np.where(zero == Zero.NOTHING, 2.0, repeats)
    owned = np.where(zero >= Zero.OPTIMIZER, shared / shared_ranks + expert / expert_ranks, shared + expert)
    held = np.where(zero >= Zero.GRADIENTS, owned, shared + expert)
    rate = problem.device.memory_rate * problem.device.calibration.memory
    stepping = (_OPTIMIZER_BYTES * owned / rate)[..., None] * (1.0 - options.optimizer_offload)
    sweeping = (_GRADIENT_PASSES_BYTES * held / rate)[..., None]
    return StepTimes(
        reduce=reduce,
        gather=once_weights * weight_repeats,
        repeats=repeats,
        optimizer=stepping + sweeping,
        offload=_host_step(problem, owned)[..., None] * options.optimizer_offload,
        fixed=np.full(len(layouts), fixed_seconds(problem)),
        straggling=straggling(problem, layouts),
    )


def exposed_share(problem: Problem) -> float:
    """Return the share of overlapped traffic that still costs time.

    What never overlaps, and how much it slows compute.
    """
    return problem.device.calibration.exposed_floor + problem.device.calibration.overlap_slowdown


def fixed_seconds(problem: Problem) -> float:
    """Return what every step costs however it is run: data loading, logging, synchronisation."""
    return problem.device.calibration.iteration_ms * 1e-3


def straggling(problem: Problem, layouts: Layouts) -> Floats:
    """Return the factor by which waiting for the slowest of many nodes stretches a step, shape (layouts,)."""
    nodes = np.maximum(layouts.gpus / problem.device.gpus_per_node, 1)
    calibration = problem.device.calibration
    slowdown = calibration.slowdown * calibration.aging(problem.operand_bits, experts=problem.architecture.is_moe)
    factor: Floats = slowdown * (1.0 + calibration.straggler * np.log2(nodes))
    return factor


def _host_step(problem: Problem, owned: Floats) -> Floats:
    """Gradients down, weights up, and Adam at the host's share of its memory bandwidth."""
    per_gpu = _HOST_MEMORY_RATE / problem.device.gpus_per_node
    return owned * (6.0 / problem.device.host_rate + _HOST_STEP_BYTES / per_gpu)


def _gather(
    problem: Problem,
    layouts: Layouts,
    shared: Floats,
    expert: Floats,
    width: float,
    options: Options,
) -> Floats:
    """Return one gather (or scatter) of `width` bytes per parameter over the ranks that hold copies of it."""
    device = problem.device
    tensor = layouts.tensor
    ranks = layouts.data * layouts.context
    grid = layouts.expert * layouts.expert_tensor
    expert_ranks = np.maximum(ranks * tensor // grid, 1)
    whole = _hierarchical(problem, ranks, tensor, shared * width, options)
    if not problem.architecture.is_moe:
        return whole
    group = Group.of(device, expert_ranks, grid)
    inside = gather_seconds(device, group, expert[:, 0] * width)
    return whole + inside[:, None]


def _hierarchical(problem: Problem, ranks: Ints, stride: Ints, size_bytes: Floats, options: Options) -> Floats:
    """Node-wise sharding gathers within a node and all-reduces the shards across nodes."""
    device = problem.device
    flat = gather_seconds(device, Group.of(device, ranks, stride), size_bytes[:, 0])
    if not options.node_shardings.any():
        return np.broadcast_to(flat[:, None], (len(flat), len(options.sharding)))
    node = np.clip(device.gpus_per_node // stride, 1, ranks)
    within = gather_seconds(device, Group.of(device, node, stride), size_bytes[:, 0])
    across = gather_seconds(device, Group.of(device, ranks / node, stride * node), size_bytes[:, 0] / node)
    return np.where(options.node_shardings, (within + 2 * across)[:, None], flat[:, None])

"""Weights, gradients and optimizer state: parameters of a stage, and who holds which share of their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.space.options import Zero

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.stages import Stages
    from planner.engine.types import Floats

WEIGHT_BYTES = 2
MASTER_AND_MOMENTS_BYTES = 12
_FP8_COPY_BYTES = 1
_VOCAB_MULTIPLE = 128


@dataclass(frozen=True, slots=True)
class StageParameters:
    """Parameters one rank holds, shape (layouts, stages): those outside experts, and those inside."""

    shared: Floats
    expert: Floats


@dataclass(frozen=True, slots=True)
class StateBytes:
    """Bytes per rank, shape (layouts, stages, shardings); `gathered` is the transient of unsharded layers.

    `optimizer` is all of it; what of it is offloaded stands on the host.
    """

    weights: Floats
    gradients: Floats
    optimizer: Floats
    gathered: Floats

    @property
    def fixed(self) -> Floats:
        """What stays on the device whatever is offloaded."""
        return self.weights + self.gradients + self.gathered

    def total(self, options: Options) -> Floats:
        """Return all that stands on the device for each offload share, a last axis."""
        return self.fixed[..., None] + self.optimizer[..., None] * (1.0 - options.optimizer_offload)


def padded_vocab(problem: Problem, tensor: Floats) -> Floats:
    """Vocabulary rounded up so that every tensor rank holds a multiple of 128 rows, as Megatron-LM pads it."""
    multiple = _VOCAB_MULTIPLE * tensor
    return np.ceil(problem.architecture.vocab_size / multiple) * multiple


def layer_parameters(problem: Problem, layouts: Layouts) -> tuple[Floats, Floats, Floats]:
    """Parameters one rank holds of a dense layer, of an MoE layer outside its experts, and of its experts.

    Shape (layouts,).
    """
    counts, arch = problem.parameters, problem.architecture
    tensor = layouts.tensor.astype(np.float64)
    key_value = counts.key_value / np.minimum(tensor, arch.kv_heads)
    attention = (counts.attention - counts.key_value) / tensor + key_value
    common = attention + counts.attention_replicated + counts.norms
    experts = counts.expert * counts.experts / (layouts.expert * layouts.expert_tensor)
    return common + counts.dense_mlp / tensor, common + counts.shared_expert / tensor + counts.router, experts


def stage_parameters(problem: Problem, layouts: Layouts, stages: Stages) -> StageParameters:
    """Return the parameters one rank of each stage holds."""
    counts, arch = problem.parameters, problem.architecture
    dense, moe, experts = (column[:, None] for column in layer_parameters(problem, layouts))
    tensor = layouts.tensor[:, None].astype(np.float64)
    table = padded_vocab(problem, tensor) * arch.hidden_size / tensor
    shared = stages.dense_layers * dense + stages.moe_layers * moe
    shared = shared + stages.first * (table + counts.positions) + stages.last * counts.final_norm
    own_head = stages.last & ~(stages.first & arch.tied_embeddings)
    shared = shared + own_head * table
    prediction = stages.last * problem.mtp
    shared = shared + prediction * ((moe if arch.is_moe else dense) + counts.mtp_extra / tensor)
    return StageParameters(shared, (stages.moe_layers + prediction * arch.is_moe) * experts)


def sharding_ranks(problem: Problem, layouts: Layouts, options: Options) -> tuple[Floats, Floats]:
    """Ranks that split state outside and inside experts, shape (layouts, shardings).

    A node's ranks where sharding is by node.
    """
    model = layouts.tensor * layouts.context
    whole = layouts.data * layouts.context
    expert = np.maximum(layouts.data * model // (layouts.expert * layouts.expert_tensor), 1)
    node = np.maximum(problem.device.gpus_per_node // layouts.tensor, 1)
    by_node = options.node_shardings
    shared = np.where(by_node, np.minimum(node, whole)[:, None], whole[:, None])
    expert_node = np.maximum(problem.device.gpus_per_node // (layouts.expert * layouts.expert_tensor), 1)
    inside = np.where(by_node, np.minimum(expert_node, expert)[:, None], expert[:, None])
    return shared.astype(np.float64), inside.astype(np.float64)


def state_bytes(problem: Problem, layouts: Layouts, options: Options, parameters: StageParameters) -> StateBytes:
    """Return the state bytes of each stage for every sharding."""
    zero = options.zero_stages
    shared_ranks, expert_ranks = (ranks[:, None, :] for ranks in sharding_ranks(problem, layouts, options))
    shared, expert = parameters.shared[:, :, None], parameters.expert[:, :, None]
    whole = shared + expert
    split = shared / shared_ranks + expert / expert_ranks
    low_precision_copy = _FP8_COPY_BYTES if problem.is_low_precision else 0
    weights = (WEIGHT_BYTES + low_precision_copy) * np.where(zero >= Zero.WEIGHTS, split, whole)
    copies = problem.device.calibration.gradient_copies
    gradients = copies * problem.gradient_bytes * np.where(zero >= Zero.GRADIENTS, split, whole)
    optimizer = MASTER_AND_MOMENTS_BYTES * np.where(zero >= Zero.OPTIMIZER, split, whole)
    dense, moe, experts = (column[:, None, None] for column in layer_parameters(problem, layouts))
    largest = np.maximum(dense, moe + experts) if problem.architecture.is_moe else dense
    gathered = np.where(
        zero >= Zero.WEIGHTS, 2 * (WEIGHT_BYTES + problem.gradient_bytes / 2) * largest, np.zeros_like(whole)
    )
    return StateBytes(weights, gradients, optimizer, gathered)

"""The fields a rule may name, and the columns they stand for.

Columns have one axis for layouts and one for each option dimension, in that order, of length 1 where the field does
not vary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.engine.space.options import CONTEXT_COMMS, MODULES, SHARDINGS, Options
from planner.engine.space.pipelines import SCHEDULES, SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.engine.problem import Problem
    from planner.engine.space import Layouts

Kind = Literal["number", "boolean", "choice", "set"]

LAYOUT_AXIS = 0
AXES = 1 + len(Options.__slots__)
_GRANULARITIES = ("none", "selective", "full")
_METHODS = ("none", "uniform", "block")
_ATTENTION = ("flash", "unfused")
_PRECISIONS = ("bf16", "fp16", "fp8", "mxfp8", "nvfp4")


@dataclass(frozen=True, slots=True)
class Grid:
    """What columns are read from."""

    problem: Problem
    layouts: Layouts
    options: Options

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis: layouts, then each option dimension."""
        return (len(self.layouts), *self.options.shape)


@dataclass(frozen=True, slots=True)
class RuleField:
    """One name of the rule language. `axis` is the one it varies along, if any.

    Choices and sets list their `values`.
    """

    kind: Kind
    axis: int | None
    description: str
    column: Callable[[Grid], NDArray[np.generic] | float | bool | int]
    values: tuple[str, ...] = ()


def _layout(description: str, read: Callable[[Layouts], NDArray[np.generic]]) -> RuleField:
    return RuleField("number", LAYOUT_AXIS, description, lambda grid: read(grid.layouts))


def _constant(description: str, read: Callable[[Problem], float]) -> RuleField:
    return RuleField("number", None, description, lambda grid: read(grid.problem))


def _option(
    kind: Kind,
    dimension: str,
    description: str,
    read: Callable[[Options], object] | None = None,
    values: tuple[str, ...] = (),
) -> RuleField:
    axis = 1 + Options.__slots__.index(dimension)

    def column(grid: Grid) -> NDArray[np.generic]:
        return np.asarray(read(grid.options) if read else getattr(grid.options, dimension))

    return RuleField(kind, axis, description, column, values)


def _recompute_codes(names: tuple[str, ...], attribute: str) -> Callable[[Options], list[int]]:
    return lambda options: [names.index(getattr(setting, attribute) or "none") for setting in options.recomputes]


def _module_bits(options: Options) -> list[int]:
    return [sum(1 << MODULES.index(name) for name in setting.modules) for setting in options.recomputes]


FIELDS: dict[str, RuleField] = {
    "tensor_parallel": _layout("Ranks that split every layer's matrices.", lambda rows: rows.tensor),
    "context_parallel": _layout("Ranks that split the sequence.", lambda rows: rows.context),
    "pipeline_parallel": _layout("Pipeline stages.", lambda rows: rows.pipeline),
    "virtual_pipeline": _layout("Model chunks per stage (interleaving).", lambda rows: rows.virtual),
    "data_parallel": _layout("Replicas; 0 where the degrees do not divide the GPUs.", lambda rows: rows.data),
    "expert_parallel": _layout("Ranks that split the experts.", lambda rows: rows.expert),
    "expert_tensor_parallel": _layout("Ranks that split one expert's matrices.", lambda rows: rows.expert_tensor),
    "micro_batch_size": _layout("Sequences per micro-batch.", lambda rows: rows.micro_batch),
    "micro_batches": _layout(
        "Micro-batches per step; 0 where the batch does not divide.", lambda rows: rows.micro_batches
    ),
    "layers_per_stage": _layout(
        "Layers of the fullest stage.",
        lambda rows: np.maximum(rows.first_layers, np.maximum(rows.middle_layers, rows.last_layers)),
    ),
    "layers_per_chunk": _layout(
        "Layers of the fullest model chunk.",
        lambda rows: (
            -(-np.maximum(rows.first_layers, np.maximum(rows.middle_layers, rows.last_layers)) // rows.virtual)
        ),
    ),
    "gpus": _layout("GPUs used.", lambda rows: rows.gpus),
    "schedule": RuleField("choice", LAYOUT_AXIS, "Pipeline schedule.", lambda grid: grid.layouts.schedule, SCHEDULES),
    "pipeline_split": RuleField(
        "choice", LAYOUT_AXIS, "How layers are dealt to stages.", lambda grid: grid.layouts.split, SPLITS
    ),
    "sequence_parallel": _option("boolean", "sequence_parallel", "Norms and residuals split over tensor ranks."),
    "tp_overlap": _option("boolean", "tp_overlap", "Tensor-parallel traffic under the matrix products."),
    "recompute": _option(
        "choice",
        "recomputes",
        "Activation recomputation.",
        _recompute_codes(_GRANULARITIES, "granularity"),
        _GRANULARITIES,
    ),
    "recompute_method": _option(
        "choice",
        "recomputes",
        "Method of full recomputation.",
        _recompute_codes(_METHODS, "method"),
        _METHODS,
    ),
    "recompute_share": _option(
        "number",
        "recomputes",
        "Share of a chunk's layers recomputed in full.",
        lambda options: [setting.share for setting in options.recomputes],
    ),
    "recompute_modules": _option("set", "recomputes", "Modules of selective recomputation.", _module_bits, MODULES),
    "activation_offload": _option("boolean", "activation_offload", "Activations kept in host memory."),
    "p2p_overlap": _option("boolean", "p2p_overlap", "Pipeline transfers under compute."),
    "context_comm": _option("choice", "context_comm", "Context-parallel exchange.", values=CONTEXT_COMMS),
    "sharding": _option("choice", "sharding", "What data-parallel ranks split.", values=SHARDINGS),
    "zero_stage": _option(
        "number",
        "sharding",
        "ZeRO stage: 0 nothing, 1 optimizer, 2 also gradients, 3 also weights.",
        lambda options: options.zero_stages,
    ),
    "distributed_optimizer": _option(
        "boolean",
        "sharding",
        "Whether optimizer state is split.",
        lambda options: options.zero_stages > 0,
    ),
    "node_sharding": _option(
        "boolean", "sharding", "Whether the split is within a node.", lambda options: options.node_shardings
    ),
    "optimizer_offload": _option("number", "optimizer_offload", "Share of the optimizer kept and stepped on the host."),
    "grad_reduce_overlap": _option("boolean", "grad_reduce_overlap", "Gradient reduction under the backward pass."),
    "param_gather_overlap": _option("boolean", "param_gather_overlap", "Weight gathering under the forward pass."),
    "layers": _constant("Layers of the model.", lambda problem: problem.architecture.layers),
    "hidden_size": _constant("Hidden size.", lambda problem: problem.architecture.hidden_size),
    "heads": _constant("Attention heads.", lambda problem: problem.architecture.heads),
    "kv_heads": _constant("Key-value heads.", lambda problem: problem.architecture.kv_heads),
    "ffn_size": _constant("MLP width.", lambda problem: problem.architecture.ffn_size),
    "expert_ffn_size": _constant("Expert width.", lambda problem: problem.architecture.expert_ffn_size),
    "experts": _constant("Routed experts; 0 in a dense model.", lambda problem: problem.architecture.experts),
    "sequence_length": _constant("Tokens per sequence.", lambda problem: problem.sequence),
    "global_batch_size": _constant("Sequences per step.", lambda problem: problem.batch),
    "gpus_per_node": _constant("GPUs of one node.", lambda problem: problem.device.gpus_per_node),
    "domain": _constant("GPUs of one scale-up domain.", lambda problem: problem.device.domain),
    "attention": RuleField(
        "choice",
        None,
        "Attention kernel.",
        lambda grid: 0 if grid.problem.flash_attention else 1,
        _ATTENTION,
    ),
    "flash_attention": RuleField(
        "boolean", None, "Whether attention is fused.", lambda grid: grid.problem.flash_attention
    ),
    "precision": RuleField(
        "choice",
        None,
        "Operand precision.",
        lambda grid: _PRECISIONS.index(grid.problem.precision),
        _PRECISIONS,
    ),
}


def broadcast(field: RuleField, grid: Grid) -> NDArray[np.generic]:
    """Return the field's column, with every axis of the grid present."""
    shape = [1] * AXES
    if field.axis is not None:
        shape[field.axis] = -1
    return np.asarray(field.column(grid)).reshape(shape)

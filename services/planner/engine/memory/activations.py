"""Activation bytes one layer keeps from its forward to its backward pass.

Counted tensor by tensor as Megatron-Core stores them, after Korthikanti et al. 2022 (arXiv 2205.05198): with sequence
parallelism 34 s b h / t for a classic layer without its dropout masks. 16-bit unless stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.grouping import group_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats, Ints

_WIDTH = 2
_UNFUSED_SCORE_BYTES = 5


@dataclass(frozen=True, slots=True)
class ActivationBytes:
    """Bytes per micro-batch, shape (layouts, sequence parallel, recompute settings) unless said otherwise.

    `dense` and `moe`: one layer of each kind. `boundary`: a layer's input alone, one value for all settings.
    `working`: what recomputing one layer brings back. `logits`: the loss's transient, shape (layouts,).
    """

    dense: Floats
    moe: Floats
    boundary: Floats
    working: Floats
    logits: Floats


def layer_columns(layouts: Layouts) -> tuple[Ints, ...]:
    """Return the columns of `layouts` that one layer's activations depend on."""
    return layouts.tensor, layouts.context, layouts.expert_tensor, layouts.micro_batch


def activation_bytes(problem: Problem, layouts: Layouts, options: Options) -> ActivationBytes:
    """Return the bytes a layer keeps under every work option; counted once per distinct layer shape."""
    first, kind = group_rows(layer_columns(layouts))
    counted = _count(problem, layouts.take(first), options)
    return ActivationBytes(*(getattr(counted, name)[kind] for name in ActivationBytes.__slots__))


def _count(problem: Problem, layouts: Layouts, options: Options) -> ActivationBytes:
    arch = problem.architecture
    tokens = (layouts.micro_batch * (problem.sequence / layouts.context))[:, None]
    tensor = layouts.tensor[:, None].astype(np.float64)
    residual = np.where(options.sequence_parallel, tensor, 1.0)
    attention = _attention_modules(problem, tokens, tensor, residual)
    mlp = _mlp(problem, arch.ffn_size, tokens, tensor, residual)
    dense = attention | mlp
    moe = attention | _experts(problem, layouts, tokens, tensor, residual) if arch.is_moe else dense
    boundary = _WIDTH * tokens * arch.hidden_size / residual
    vocabulary = tokens[:, 0] * arch.vocab_size / tensor[:, 0]
    whole = [sum(parts.values(), np.zeros_like(boundary)) for parts in (dense, moe)]
    kept_dense, kept_moe = _kept(dense, options), _kept(moe, options)
    working = np.maximum(whole[0], whole[1]) if arch.is_moe else whole[0]
    recomputes = np.array([setting.granularity == "full" for setting in options.recomputes])
    selective = np.maximum(whole[0][..., None] - kept_dense, whole[1][..., None] - kept_moe)
    return ActivationBytes(
        dense=kept_dense,
        moe=kept_moe,
        boundary=boundary[..., None],
        working=np.where(recomputes, working[..., None], selective),
        logits=problem.device.calibration.logit_bytes * vocabulary,
    )


def _kept(parts: Mapping[str, Floats], options: Options) -> Floats:
    """Sum the parts that each recompute setting's modules leave alone."""
    columns = []
    for setting in options.recomputes:
        dropped = {"moe_act", "moe", "shared_experts"} if "moe" in setting.modules else set(setting.modules)
        kept = [part for name, part in parts.items() if name not in dropped]
        columns.append(sum(kept, np.zeros_like(next(iter(parts.values())))))
    return np.stack(columns, axis=-1)


def _linear_input_bytes(problem: Problem) -> float:
    """Inputs of matrix products are kept in their operand precision for the weight gradient."""
    return 1 if problem.is_low_precision else _WIDTH


def _attention_modules(
    problem: Problem,
    tokens: Floats,
    tensor: Floats,
    residual: Floats,
) -> dict[str, Floats]:
    arch = problem.architecture
    hidden, linear = arch.hidden_size, _linear_input_bytes(problem)
    key_value = arch.head_dim * arch.kv_heads / np.minimum(tensor, arch.kv_heads)
    scores = 0.0 if problem.flash_attention else _UNFUSED_SCORE_BYTES * arch.heads * problem.sequence / tensor
    parts = {
        "residuals": tokens * 2 * _WIDTH * hidden / residual,
        "layernorm": tokens * 2 * linear * hidden / residual,
        "core_attn": tokens * scores * np.ones_like(residual),
        "context": tokens * _WIDTH * arch.value_size / tensor * np.ones_like(residual),
    }
    projected = _WIDTH * (arch.query_size / tensor + 2 * key_value)
    if arch.is_latent_attention:
        latent = 2 * _WIDTH * (arch.q_lora_rank + arch.kv_lora_rank) + _WIDTH * arch.rope_head_dim
        parts["latent"] = tokens * latent * np.ones_like(residual)
        projected = _WIDTH * (2 * arch.query_size + arch.value_size) / tensor
    name = "mla_up_proj" if arch.is_latent_attention else "projections"
    return parts | {name: tokens * projected * np.ones_like(residual)}


def _mlp(problem: Problem, width: int, tokens: Floats, tensor: Floats, residual: Floats) -> dict[str, Floats]:
    return {"mlp": tokens * _mlp_bytes(problem, width) / tensor * np.ones_like(residual)}


def _mlp_bytes(problem: Problem, width: int) -> float:
    """Per token: the up projections' outputs, and the activation that feeds the down projection."""
    return ((problem.architecture.mlp_matrices - 1) * _WIDTH + _linear_input_bytes(problem)) * width


def _experts(
    problem: Problem,
    layouts: Layouts,
    tokens: Floats,
    tensor: Floats,
    residual: Floats,
) -> dict[str, Floats]:
    """Routed copies stand on the rank that computes them.

    With expert tensor parallelism each copy stands on all its ranks.
    """
    arch = problem.architecture
    sharing = layouts.expert_tensor[:, None].astype(np.float64)
    copies = tokens * arch.experts_per_token / residual * sharing
    linear, width = _linear_input_bytes(problem), arch.expert_ffn_size / sharing
    up = copies * (linear * arch.hidden_size + (arch.mlp_matrices - 1) * _WIDTH * width)
    router = tokens / residual * (4 * arch.experts + 8 * arch.experts_per_token)
    shared = tokens * _mlp_bytes(problem, arch.shared_ffn_size) / tensor * np.ones_like(residual)
    return {"moe": up + router, "moe_act": copies * linear * width, "shared_experts": shared}

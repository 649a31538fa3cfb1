"""What one layer computes: matrix products, attention, and everything bound by memory bandwidth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.gemm import gemm_passes
from planner.engine.memory.state import padded_vocab

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts
    from planner.engine.types import Floats

_ATTENTION_BACKWARD_FLOPS = 2.5
_HEAD_WIDTH_HALF = 16.0
_SEQUENCE_HALF = 256.0
_ALIGNED_HEAD = 8
_UNALIGNED_RATE = 1 / 8  # no tensor cores: rows of a head are not 16 bytes apart
_UNFUSED_FORWARD_BYTES = 12.0
_UNFUSED_BACKWARD_BYTES = 16.0
_RESIDUAL_FORWARD_BYTES = 20.0
_RESIDUAL_BACKWARD_BYTES = 22.0
_LOSS_FORWARD_BYTES = 12.0
_LOSS_BACKWARD_BYTES = 8.0


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds of one operator group per micro-batch: forward, input gradient, weight gradient; shape (rows,)."""

    forward: Floats
    input_grad: Floats
    weight_grad: Floats

    def __add__(self, other: Work) -> Work:
        return Work(
            self.forward + other.forward,
            self.input_grad + other.input_grad,
            self.weight_grad + other.weight_grad,
        )


@dataclass(frozen=True, slots=True)
class Shapes:
    """What a layer's operators depend on, shape (rows,): degrees and tokens a rank sees per micro-batch."""

    tensor: Floats
    context: Floats
    expert: Floats
    expert_tensor: Floats
    micro_batch: Floats
    tokens: Floats

    @classmethod
    def of(cls, problem: Problem, layouts: Layouts) -> Shapes:
        """Return the shapes of `layouts`."""
        columns = (layouts.tensor, layouts.context, layouts.expert, layouts.expert_tensor, layouts.micro_batch)
        tensor, context, expert, expert_tensor, micro_batch = (column.astype(np.float64) for column in columns)
        tokens = micro_batch * problem.sequence / context
        return cls(tensor, context, expert, expert_tensor, micro_batch, tokens)

    def copies(self, problem: Problem, residual: Floats) -> Floats:
        """Token copies a rank sends to experts, `residual` being the ranks that split the tokens."""
        return self.tokens * problem.architecture.experts_per_token / residual


def _memory_rate(problem: Problem) -> float:
    return problem.device.memory_rate * problem.device.calibration.memory


def _streamed(problem: Problem, forward_bytes: Floats, backward_bytes: Floats) -> Work:
    rate = _memory_rate(problem)
    return Work(forward_bytes / rate, backward_bytes / rate, np.zeros_like(forward_bytes))


def linear(
    problem: Problem, tokens: Floats, columns: Floats | float, depth: Floats | float, groups: Floats | float = 1.0
) -> Work:
    """Return a linear layer: three products, casts of low-precision operands, and accumulation into main gradients."""
    forward, input_grad, weight_grad = gemm_passes(problem, tokens, columns, depth, groups)
    rate = _memory_rate(problem)
    accumulate = 2.0 * problem.gradient_bytes * groups * columns * depth / rate
    work = Work(forward, input_grad, weight_grad + accumulate)
    if not problem.is_low_precision:
        return work
    cast = problem.device.calibration.quantize_passes * 4.0 * tokens * groups / rate
    return work + Work(cast * depth, cast * columns, np.zeros_like(forward))


def attention_projections(problem: Problem, shapes: Shapes) -> Work:
    """Return the linear layers around attention, and the rotary embedding."""
    arch, tokens, tensor = problem.architecture, shapes.tokens, shapes.tensor
    hidden = float(arch.hidden_size)
    output = linear(problem, tokens, hidden, arch.value_size / tensor)
    if arch.is_latent_attention:
        return output + latent_down(problem, shapes) + latent_up(problem, shapes)
    key_value = 2 * arch.head_dim * arch.kv_heads / np.minimum(tensor, arch.kv_heads)
    width = arch.query_size / tensor + key_value
    rotary = _streamed(problem, 4.0 * tokens * width, 4.0 * tokens * width)
    return output + linear(problem, tokens, width, hidden) + rotary


def latent_down(problem: Problem, shapes: Shapes) -> Work:
    """Return MLA's down-projections, which every tensor rank repeats."""
    arch, tokens = problem.architecture, shapes.tokens
    hidden = float(arch.hidden_size)
    work = linear(problem, tokens, float(arch.kv_lora_rank + arch.rope_head_dim), hidden)
    return work + linear(problem, tokens, float(arch.q_lora_rank), hidden) if arch.q_lora_rank else work


def latent_up(problem: Problem, shapes: Shapes) -> Work:
    """Return MLA's up-projections, which `mla_up_proj` recomputes."""
    arch, tokens, tensor = problem.architecture, shapes.tokens, shapes.tensor
    query = linear(problem, tokens, arch.query_size / tensor, float(arch.q_lora_rank or arch.hidden_size))
    key_value = (arch.heads * arch.head_dim + arch.value_size) / tensor
    rotary = _streamed(problem, 4.0 * tokens * arch.query_size / tensor, 4.0 * tokens * arch.query_size / tensor)
    return query + linear(problem, tokens, key_value, float(arch.kv_lora_rank)) + rotary


def core_attention(problem: Problem, shapes: Shapes) -> Work:
    """Return the attention kernel; fused kernels recompute scores in the backward pass (2.5 x the forward FLOPs)."""
    arch, device = problem.architecture, problem.device
    calibration = device.calibration
    width = (arch.query_size + arch.value_size) / shapes.tensor
    peak = device.peak_flops("fp16" if problem.precision == "fp16" else "bf16")
    narrow = arch.head_dim / (arch.head_dim + _HEAD_WIDTH_HALF)
    short = problem.sequence / (problem.sequence + _SEQUENCE_HALF)
    if problem.flash_attention:
        flops = 2.0 * shapes.tokens * arch.attended_positions(problem.sequence) * width
        forward = flops / (peak * calibration.attention_forward * narrow * short)
        backward = _ATTENTION_BACKWARD_FLOPS * flops / (peak * calibration.attention_backward * narrow * short)
        return Work(forward, backward, np.zeros_like(forward))
    flops = 2.0 * shapes.tokens * problem.sequence * width
    scores = shapes.tokens * problem.sequence * arch.heads / shapes.tensor
    aligned = 1.0 if arch.head_dim % _ALIGNED_HEAD == 0 else _UNALIGNED_RATE
    kernel = flops / (peak * calibration.attention_forward * aligned)
    products = Work(kernel, 2.0 * kernel, np.zeros_like(kernel))
    return products + _streamed(problem, _UNFUSED_FORWARD_BYTES * scores, _UNFUSED_BACKWARD_BYTES * scores)


def mlp(problem: Problem, tokens: Floats, width: Floats | float, groups: Floats | float = 1.0) -> Work:
    """Return an MLP (or `groups` equal ones) of `width` per rank: projections and activation."""
    arch = problem.architecture
    up = (arch.mlp_matrices - 1) * width
    projections = linear(problem, tokens, up, float(arch.hidden_size), groups)
    projections = projections + linear(problem, tokens, float(arch.hidden_size), width, groups)
    return projections + mlp_activation(problem, tokens * groups, width)


def mlp_activation(problem: Problem, tokens: Floats, width: Floats | float) -> Work:
    """Return the elementwise activation between an MLP's projections."""
    up = problem.architecture.mlp_matrices - 1
    return _streamed(problem, 2.0 * (up + 1) * tokens * width, 2.0 * (2 * up + 1) * tokens * width)


def norms_and_residuals(problem: Problem, tokens: Floats) -> Work:
    """Return both normalisations and residual additions over `tokens`."""
    hidden, share = problem.architecture.hidden_size, problem.architecture.norms_per_layer / 2
    forward = _RESIDUAL_FORWARD_BYTES * share * tokens * hidden
    return _streamed(problem, forward, _RESIDUAL_BACKWARD_BYTES * share * tokens * hidden)


def norms_alone(problem: Problem, tokens: Floats) -> Floats:
    """Return the seconds of the normalisations alone, which `layernorm` recomputes."""
    return (
        4.0 * problem.architecture.norms_per_layer * tokens * problem.architecture.hidden_size / _memory_rate(problem)
    )


def routed_experts(problem: Problem, shapes: Shapes, residual: Floats) -> Work:
    """Return the experts a rank holds, on a balanced load, with routing and the permutation of tokens around them."""
    arch = problem.architecture
    local = arch.experts / shapes.expert
    copies = shapes.copies(problem, residual) * shapes.expert_tensor
    per_expert = np.maximum(copies / local, 1.0)
    grouped = mlp(problem, per_expert, arch.expert_ffn_size / shapes.expert_tensor, local)
    calibration = problem.device.calibration
    slow = 1.0 / calibration.grouped_gemm
    experts = Work(grouped.forward * slow, grouped.input_grad * slow, grouped.weight_grad * slow)
    permuted = 8.0 * calibration.expert_passes * copies * arch.hidden_size
    router = linear(problem, shapes.tokens / residual, float(arch.experts), float(arch.hidden_size))
    return experts + router + _streamed(problem, permuted, permuted)


def embedding(problem: Problem, shapes: Shapes, residual: Floats) -> Work:
    """Return the table lookup and its scattered gradient."""
    moved = 6.0 * shapes.tokens * problem.architecture.hidden_size / residual
    return _streamed(problem, moved, 2.0 * moved)


def head_and_loss(problem: Problem, shapes: Shapes) -> Work:
    """Return the vocabulary projection and the cross-entropy over it."""
    width = padded_vocab(problem, shapes.tensor) / shapes.tensor
    product = linear(problem, shapes.tokens, width, float(problem.architecture.hidden_size))
    scores = shapes.tokens * width
    return product + _streamed(problem, _LOSS_FORWARD_BYTES * scores, _LOSS_BACKWARD_BYTES * scores)

"""The time of one layer's passes under every work option, by cause."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.axes import CONTEXT_COMM, RECOMPUTE, SEQUENCE, TENSOR_OVERLAP, lift, rows
from planner.engine.cost.collectives import Group, dispatch_seconds, exchange_seconds, gather_seconds, reduce_seconds
from planner.engine.space.options import CONTEXT_COMMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.engine.problem import Problem
    from planner.engine.space import Options
    from planner.engine.types import Floats

_ZERO = np.zeros((1,) * 7)
_QUANTIZING_LAUNCHES = 5.0


@dataclass(frozen=True, slots=True)
class Pass:
    """Seconds of a pass by cause, each a work array.

    Computing, and tensor, context and expert traffic that nothing hides.
    """

    compute: Floats
    tp: Floats
    cp: Floats
    ep: Floats

    @property
    def total(self) -> Floats:
        """All causes together."""
        return self.compute + self.tp + self.cp + self.ep

    def map(self, function: Callable[[Floats], Floats]) -> Self:
        """Apply `function` to every cause."""
        return type(self)(*(function(getattr(self, cause.name)) for cause in fields(self)))

    def __add__(self, other: Pass) -> Pass:
        return Pass(self.compute + other.compute, self.tp + other.tp, self.cp + other.cp, self.ep + other.ep)


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """One layer per micro-batch. `again` is what selective recomputation repeats.

    Full recomputation repeats `forward`.
    """

    forward: Pass
    backward: Pass
    weight_grad: Floats
    again: Pass


@dataclass(frozen=True, slots=True)
class _Context:
    """What a layer's terms share: option columns lifted to their axes."""

    problem: Problem
    options: Options
    shapes: ops.Shapes
    sequence: Floats
    overlap: Floats
    residual: Floats

    @classmethod
    def of(cls, problem: Problem, options: Options, shapes: ops.Shapes) -> _Context:
        sequence = lift(options.sequence_parallel, SEQUENCE)
        overlap = lift(options.tp_overlap, TENSOR_OVERLAP)
        residual = np.where(sequence > 0, rows(shapes.tensor), 1.0)
        return cls(problem, options, shapes, sequence, overlap, residual)


def layer_times(problem: Problem, options: Options, shapes: ops.Shapes, *, moe: bool) -> LayerTimes:
    """Return the times of a dense layer, or of one with experts."""
    context = _Context.of(problem, options, shapes)
    modules = _modules(context, moe=moe)
    compute = _sum(list(modules.values()))
    floor = _launching(problem, shapes, moe=moe)
    tensor_forward, tensor_backward = _tensor_traffic(context, compute.weight_grad, moe=moe)
    context_forward, context_backward = _context_traffic(context)
    expert = _expert_traffic(context) if moe else _ZERO
    forward = Pass(np.maximum(compute.forward, floor), tensor_forward, context_forward, expert)
    backward_compute = np.maximum(compute.input_grad + compute.weight_grad, 1.6 * floor)
    backward = Pass(backward_compute, tensor_backward, context_backward, expert)
    again = _repeated(context, modules, context_forward, expert)
    return LayerTimes(forward, backward, compute.weight_grad, again)


def _launching(problem: Problem, shapes: ops.Shapes, *, moe: bool) -> Floats:
    """Return the seconds in which the host launches a forward pass's kernels: less work than that cannot go faster.

    Every expert of a rank is quantized by kernels of its own.
    """
    calibration = problem.device.calibration
    if not moe:
        return rows(np.full_like(shapes.tokens, calibration.launches_per_layer * calibration.launch_us * 1e-6))
    per_expert = calibration.launches_per_expert * (_QUANTIZING_LAUNCHES if problem.is_low_precision else 1.0)
    experts = problem.architecture.experts / shapes.expert
    launches = 2.0 * calibration.launches_per_layer + per_expert * experts
    return rows(launches * calibration.launch_us * 1e-6)


def layer_modules(problem: Problem, options: Options, shapes: ops.Shapes, *, moe: bool) -> dict[str, ops.Work]:
    """Return one layer's work by module: selective recomputation's names, and the rest."""
    return _modules(_Context.of(problem, options, shapes), moe=moe)


def _lifted(work: ops.Work) -> ops.Work:
    return ops.Work(rows(work.forward), rows(work.input_grad), rows(work.weight_grad))


def _sum(works: list[ops.Work]) -> ops.Work:
    total = works[0]
    for work in works[1:]:
        total = total + work
    return total


def _modules(context: _Context, *, moe: bool) -> dict[str, ops.Work]:
    """Return the layer's work by the module names of selective recomputation, the rest under other names."""
    problem, shapes = context.problem, context.shapes
    arch = problem.architecture
    modules = {
        "projections": _lifted(ops.attention_projections(problem, shapes)),
        "core_attn": _lifted(ops.core_attention(problem, shapes)),
        "residuals": ops.norms_and_residuals(problem, rows(shapes.tokens) / context.residual),
    }
    if not moe:
        return modules | {"mlp": _lifted(ops.mlp(problem, shapes.tokens, arch.ffn_size / shapes.tensor))}
    wide = ops.Shapes(*(rows(getattr(shapes, field.name)) for field in fields(shapes)))
    modules["experts"] = ops.routed_experts(problem, wide, context.residual)
    if arch.shared_ffn_size:
        modules["shared_experts"] = _lifted(ops.mlp(problem, shapes.tokens, arch.shared_ffn_size / shapes.tensor))
    return modules


def _tensor_traffic(context: _Context, weight_grad: Floats, *, moe: bool) -> tuple[Floats, Floats]:
    """Two pairs of collectives a layer and pass (one pair where experts stand in for the MLP).

    All-reduces of the whole activation, or gathers and scatters of it under sequence parallelism, which move the same
    bytes. In the backward pass they run under the weight gradient, where the stack does so; with `tp_overlap` they are
    pipelined with the products on both sides.
    """
    problem, shapes = context.problem, context.shapes
    device, calibration = problem.device, problem.device.calibration
    group = Group.of(device, shapes.tensor, np.ones_like(shapes.tensor))
    size_bytes = 2.0 * shapes.tokens * problem.architecture.hidden_size
    pairs = 1.0 if moe and not problem.architecture.shared_ffn_size else 2.0
    once = rows(pairs * reduce_seconds(device, group, size_bytes))
    exposed = once * (1.0 - calibration.overlapped_tensor_share * context.overlap)
    hidden = calibration.overlap_window * calibration.async_tensor_reduce * weight_grad
    backward = np.maximum(exposed - hidden, calibration.exposed_floor * once)
    if moe:
        exposed = exposed + _expert_tensor_traffic(context)
        backward = backward + _expert_tensor_traffic(context)
    return exposed, backward


def _expert_tensor_traffic(context: _Context) -> Floats:
    """Expert tensor parallelism gathers the routed copies and scatters the results."""
    problem, shapes = context.problem, context.shapes
    group = Group.of(problem.device, shapes.expert_tensor, np.ones_like(shapes.expert_tensor))
    copies = rows(shapes.tokens * problem.architecture.experts_per_token * shapes.expert_tensor) / context.residual
    lifted = Group(rows(group.size), rows(group.local), rows(group.domains))
    return reduce_seconds(problem.device, lifted, 2.0 * copies * problem.architecture.hidden_size)


def _context_traffic(context: _Context) -> tuple[Floats, Floats]:
    """Ring: every step's keys and values under the previous step's attention.

    All-to-all: four exchanges, nothing hides them.
    """
    problem, shapes = context.problem, context.shapes
    arch, device = problem.architecture, problem.device
    group = Group.of(device, shapes.context, shapes.tensor)
    if np.all(shapes.context == 1):
        return _ZERO, _ZERO
    attention = ops.core_attention(problem, shapes)
    key_value = 2.0 * arch.head_dim * arch.kv_heads / np.minimum(shapes.tensor, arch.kv_heads)
    if arch.is_latent_attention:
        key_value = (arch.query_size + arch.value_size) / shapes.tensor
    ring_bytes = 2.0 * shapes.tokens * key_value * shapes.context
    ring = gather_seconds(device, group, ring_bytes)
    hide = device.calibration.overlap_window
    ring_forward = np.maximum(ring - hide * attention.forward, device.calibration.exposed_floor * ring)
    ring_backward = np.maximum(2 * ring - hide * attention.input_grad, device.calibration.exposed_floor * 2 * ring)
    width = (arch.query_size + arch.value_size) / shapes.tensor + key_value
    exchange = exchange_seconds(device, group, 2.0 * shapes.tokens * width)
    is_ring = lift([CONTEXT_COMMS[code] == "p2p" for code in context.options.context_comm], CONTEXT_COMM) > 0
    forward = np.where(is_ring, rows(ring_forward), rows(exchange))
    return forward, np.where(is_ring, rows(ring_backward), rows(exchange))


def _expert_traffic(context: _Context) -> Floats:
    """Dispatch and combine: each token crosses to its experts and back."""
    problem, shapes = context.problem, context.shapes
    group = Group.of(problem.device, shapes.expert, shapes.expert_tensor)
    lifted = Group(rows(group.size), rows(group.local), rows(group.domains))
    copies = rows(shapes.tokens * problem.architecture.experts_per_token) / context.residual
    size_bytes = 2.0 * copies * problem.architecture.hidden_size
    return 2.0 * dispatch_seconds(problem.device, lifted, size_bytes, problem.architecture.experts_per_token)


def _repeated(context: _Context, modules: dict[str, ops.Work], cp_forward: Floats, expert: Floats) -> Pass:
    """Return what each recompute setting's modules repeat of the forward pass."""
    settings = context.options.recomputes
    problem, shapes = context.problem, context.shapes
    costs: dict[str, Floats] = {
        name: modules[name].forward for name in ("core_attn", "mlp", "shared_experts") if name in modules
    }
    costs["layernorm"] = ops.norms_alone(problem, rows(shapes.tokens) / context.residual)
    if problem.architecture.is_latent_attention:
        costs["mla_up_proj"] = rows(ops.latent_up(problem, shapes).forward)
    if "experts" in modules:
        costs["moe"] = modules["experts"].forward + costs.get("shared_experts", _ZERO)
        copies = rows(shapes.tokens * problem.architecture.experts_per_token) / context.residual
        width = problem.architecture.expert_ffn_size
        costs["moe_act"] = ops.mlp_activation(problem, copies, width).forward
    compute: Floats = _ZERO
    for name, cost in costs.items():
        compute = compute + cost * lift([name in setting.modules for setting in settings], RECOMPUTE)
    with_attention = lift(["core_attn" in setting.modules for setting in settings], RECOMPUTE)
    with_experts = lift(["moe" in setting.modules for setting in settings], RECOMPUTE)
    return Pass(compute, _ZERO, cp_forward * with_attention, expert * with_experts)

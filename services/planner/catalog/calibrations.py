"""Calibrations: the fractions of datasheet rates that software reaches, by GPU, software stack and precision.

A calibration is a generation's base times the factors of the software stack and of the GPU within its generation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from math import exp
from typing import TYPE_CHECKING, Literal

from planner.catalog.loader import UnknownNameError, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_STACK = "megatron-core"
"""The stack of plans that name no other."""

STACKS = ("megatron-core", "megatron-core-26.06", "megatron-flash", "megatron-legacy", "fsdp", "jax")
"""Software stacks: Megatron-Core and what builds on it; its releases since mid-2026, whose experts are fused and
captured in CUDA graphs; Megatron forks with fused attention but unfused layers; those without fused attention (up to
2022); PyTorch FSDP and ZeRO-3; JAX with XLA."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Efficiencies and overheads of one GPU generation and software stack.

    `gemm` maps operand bits to the asymptotic fraction of that precision's peak; `gemm_half_k` is the reduction
    length at which a matrix product loses half of it. `*_us` are microseconds, `scale_up` and `scale_out` fractions
    of link bandwidth. `logit_bytes` is what the loss holds per logit, `gradient_copies` how many gradients a framework
    holds beside one another; `fragmentation` of the memory is lost, `allocator_slack` kept while there is room.
    `async_tensor_reduce` is the share of the weight gradient under which tensor-parallel traffic may run. `slowdown`
    multiplies the whole iteration: what software loses in ways no part names. `release_gain` is the log of what 8-bit
    training gains a month of releases, `expert_release_gain` of what experts gain besides.
    """

    name: str
    gemm: dict[str, float]
    gemm_half_k: float
    attention_forward: float
    attention_backward: float
    memory: float
    scale_up: float
    scale_out: float
    launch_us: float
    provenance: str
    scale_up_latency_us: float = 4.0
    scale_out_latency_us: float = 12.0
    grouped_gemm: float = 0.85
    expert_passes: float = 2.0
    quantize_passes: float = 1.0
    overlapped_tensor_share: float = 0.65
    overlap_slowdown: float = 0.08
    overlap_window: float = 0.75
    exposed_floor: float = 0.08
    async_tensor_reduce: float = 1.0
    straggler: float = 0.01
    iteration_ms: float = 8.0
    launches_per_layer: float = 40.0
    launches_per_expert: float = 4.0
    framework_gib: float = 2.0
    fragmentation: float = 0.03
    allocator_slack: float = 0.03
    logit_bytes: float = 6.0
    gradient_copies: float = 1.0
    slowdown: float = 1.0
    release_gain: float = 0.005
    expert_release_gain: float = 0.0
    age_months: float = 0.0

    def aging(self, operand_bits: float, *, experts: bool) -> float:
        """Return the factor by which a release `age_months` behind the newest is slower.

        Dense 16-bit training has settled; a format gains by the month the more, the fewer its bits.
        """
        gain = self.release_gain * (_SETTLED_BITS / operand_bits - 1.0) + self.expert_release_gain * experts
        return exp(gain * self.age_months)


_SETTLED_BITS = 16.0

BOUNDS: dict[str, tuple[float, float]] = {
    "gemm": (0.05, 0.97),
    "attention_forward": (0.02, 0.90),
    "attention_backward": (0.02, 0.90),
    "memory": (0.10, 0.95),
    "scale_up": (0.02, 0.98),
    "scale_out": (0.02, 0.98),
    "grouped_gemm": (0.05, 1.0),
    "overlapped_tensor_share": (0.0, 0.98),
    "overlap_window": (0.05, 1.0),
    "exposed_floor": (0.0, 1.0),
    "async_tensor_reduce": (0.0, 1.0),
    "slowdown": (0.25, 4.0),
}
"""What no software can leave, whatever a fit says."""

JOINED: dict[str, tuple[str, ...]] = {
    "attention": ("attention_forward", "attention_backward"),
    "release_gain": ("release_gain", "expert_release_gain"),
}
"""Parameters that one factor moves together."""

_GEMM_BITS = "gemm_"

ADJUSTABLE = (
    "slowdown",
    "gemm_16",
    "gemm_8",
    "gemm_4",
    "gemm_half_k",
    "attention",
    "memory",
    "scale_up",
    "scale_out",
    "launch_us",
    "launches_per_expert",
    "grouped_gemm",
    "expert_passes",
    "quantize_passes",
    "overlapped_tensor_share",
    "overlap_window",
    "exposed_floor",
    "async_tensor_reduce",
    "overlap_slowdown",
    "straggler",
    "iteration_ms",
    "scale_up_latency_us",
    "scale_out_latency_us",
    "framework_gib",
    "fragmentation",
    "allocator_slack",
    "logit_bytes",
    "gradient_copies",
    "release_gain",
)
"""Names a factor may carry: fields of `Calibration`, a name in `JOINED`, or `gemm_` and operand bits."""


def adjusted(calibration: Calibration, factors: Mapping[str, float]) -> Calibration:
    """Return `calibration` with each named parameter multiplied by its factor, within `BOUNDS`.

    UnknownNameError for a name outside `ADJUSTABLE`.
    """
    if not factors:
        return calibration
    changed: dict[str, float] = {}
    gemm = dict(calibration.gemm)
    for name, factor in factors.items():
        if name not in ADJUSTABLE:
            raise UnknownNameError("calibration parameter", name, ADJUSTABLE)
        bits = name.removeprefix(_GEMM_BITS)
        if bits in gemm:
            gemm[bits] = _bounded("gemm", gemm[bits] * factor)
        elif hasattr(calibration, name) or name in JOINED:
            for field in JOINED.get(name, (name,)):
                changed[field] = _bounded(field, getattr(calibration, field) * factor)
    return replace(calibration, gemm=gemm, **changed)  # type: ignore[arg-type]


def _bounded(name: str, value: float) -> float:
    low, high = BOUNDS.get(name, (0.0, float("inf")))
    return min(max(value, low), high)


_LEVELS = ("generation", "stack", "gpu")


@cache
def _fitted() -> dict[str, dict[str, dict[str, object]]]:
    tables = read_toml("calibrations_fitted.toml")
    return {kind: {entry["name"]: entry for entry in tables.get(kind, [])} for kind in _LEVELS}


@cache
def fitted_factors(kind: Literal["generation", "stack", "gpu"]) -> dict[str, dict[str, float]]:
    """Return the fitted factors of every GPU generation, software stack or GPU that has some, by name."""
    return {name: _factors(entry) for name, entry in _fitted()[kind].items()}


def _factors(entry: Mapping[str, object]) -> dict[str, float]:
    return {key: float(value) for key, value in entry.items() if isinstance(value, int | float)}


@cache
def base_calibration(name: str) -> Calibration:
    """Return the calibration of the GPU generation `name`; UnknownNameError when there is none."""
    entries = {entry["name"]: entry for entry in read_toml("calibrations.toml")["calibration"]}
    if name not in entries:
        raise UnknownNameError("calibration", name, entries)
    known = {field.name for field in fields(Calibration)}
    return Calibration(**{key: value for key, value in entries[name].items() if key in known})


@cache
def prior_calibration(generation: str, gpu: str = "", stack: str = DEFAULT_STACK) -> Calibration:
    """Return what is expected before any row is seen: the generation's base times what is known of stack and GPU."""
    calibration = base_calibration(generation)
    tables = read_toml("calibrations.toml")
    for entry in (*tables.get("stack", []), *tables.get("gpu", [])):
        if entry["name"] in {stack, gpu} and generation in entry.get("generations", (generation,)):
            calibration = adjusted(calibration, _factors(entry))
    return calibration


@cache
def calibration_for(generation: str, gpu: str = "", stack: str = DEFAULT_STACK) -> Calibration:
    """Return the default calibration of `gpu` of `generation` under `stack`; UnknownNameError for unknown names.

    A GPU or generation without measured rows keeps the base that its provenance names.
    """
    if stack not in STACKS:
        raise UnknownNameError("stack", stack, STACKS)
    calibration = prior_calibration(generation, gpu, stack)
    levels: tuple[tuple[Literal["generation", "stack", "gpu"], str], ...] = (
        ("generation", generation),
        ("stack", stack),
        ("gpu", gpu),
    )
    for kind, name in levels:
        calibration = adjusted(calibration, fitted_factors(kind).get(name, {}))
    return calibration

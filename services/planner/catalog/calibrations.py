"""Calibrations: the fractions of datasheet rates that software reaches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from planner.catalog.loader import UnknownNameError, read_toml


@dataclass(frozen=True, slots=True)
class Calibration:
    """Efficiencies and overheads of one GPU generation and software stack.

    `gemm` maps operand bits to the asymptotic fraction of that precision's peak; `gemm_half_k` is the reduction
    length at which a matrix product loses half of it. `*_us` are microseconds, `scale_up` and `scale_out` fractions
    of link bandwidth.
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
    quantize_passes: float = 1.0
    overlapped_tensor_share: float = 0.65
    overlap_slowdown: float = 0.08
    overlap_window: float = 0.75
    exposed_floor: float = 0.08
    straggler: float = 0.01
    iteration_ms: float = 8.0
    launches_per_layer: float = 22.0
    framework_gib: float = 2.0
    fragmentation: float = 0.03


@cache
def _calibrations() -> dict[str, Calibration]:
    return {entry["name"]: Calibration(**entry) for entry in read_toml("calibrations.toml")["calibration"]}


def calibration_for(name: str) -> Calibration:
    """Return the default calibration called `name`, which is a GPU generation; UnknownNameError otherwise."""
    if name not in _calibrations():
        raise UnknownNameError("calibration", name, _calibrations())
    return _calibrations()[name]

"""What a fit may move, how far it is trusted to, and how.

Every parameter is a factor on a default, moved in log space with a Gaussian prior around no change: with few rows the
prior decides, with many the rows do, and an unseen GPU or stack keeps the default.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """A factor of `planner.catalog.calibrations.ADJUSTABLE`; `spread` is the prior's standard deviation of its log."""

    name: str
    spread: float


PARAMETERS = (
    Parameter("slowdown", 0.15),
    Parameter("gemm_16", 0.12),
    Parameter("gemm_8", 0.12),
    Parameter("gemm_4", 0.12),
    Parameter("gemm_half_k", 0.30),
    Parameter("attention", 0.25),
    Parameter("memory", 0.20),
    Parameter("scale_up", 0.20),
    Parameter("scale_out", 0.15),
    Parameter("launch_us", 0.60),
    Parameter("launches_per_expert", 0.60),
    Parameter("grouped_gemm", 0.30),
    Parameter("expert_passes", 0.50),
    Parameter("quantize_passes", 0.30),
    Parameter("exposed_floor", 0.30),
    Parameter("iteration_ms", 0.30),
    Parameter("release_gain", 0.50),
)
"""Time parameters. Those of memory (`framework_gib`, `fragmentation`) are fitted on peak memory alone."""

NAMES = tuple(parameter.name for parameter in PARAMETERS)
LARGEST_LOG_FACTOR = 1.2
"""No factor leaves exp(+-1.2): beyond a factor of 3.3 the rows and not the parameter are wrong."""

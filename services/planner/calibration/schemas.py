"""Bodies of POST /calibrations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from planner.calibration.runs import LONGEST_SECONDS, MOST_BYTES, SHORTEST_SECONDS
from planner.engine import HomogeneousCluster, ModelSpec, Strategy, Workload
from planner.engine.inputs.base import Input, Name
from planner.engine.inputs.cluster import Stack
from planner.engine.outputs import Output

FEWEST_RUNS = 3
MOST_RUNS = 50


class MeasuredRun(Input):
    """One training run of yours: what was run, and what it took."""

    model: ModelSpec = Field(description="A preset, a Hugging Face config.json, or explicit dimensions.")
    workload: Workload
    cluster: HomogeneousCluster
    strategy: Strategy
    iteration_seconds: float = Field(
        ge=SHORTEST_SECONDS, le=LONGEST_SECONDS, description="Measured time of one optimizer step, warmed up."
    )
    peak_bytes: float | None = Field(
        default=None, gt=0, le=MOST_BYTES, description="Measured peak memory of the fullest GPU, if known."
    )


class CalibrationRequest(Input):
    """Fit the cost model to measured runs on one GPU type."""

    name: Name = Field(default="calibration", description="Your own name for it.", examples=["our-h100-cluster"])
    stack: Stack = Field(default="megatron-core", description="Software stack whose defaults the fit starts from.")
    runs: Annotated[list[MeasuredRun], Field(min_length=FEWEST_RUNS, max_length=MOST_RUNS)]


class CalibrationErrors(Output):
    """Mean absolute relative errors over the runs, as fractions."""

    before: float = Field(description="Of the default calibration.")
    after: float = Field(description="Leave-one-out: each run predicted by a fit on the others.")


class MemoryErrors(Output):
    """Mean absolute relative errors of peak memory, as fractions; over the runs that state it."""

    runs: int
    before: float
    after: float


class RunErrors(Output):
    """One run's signed relative errors."""

    before: float
    after: float


class CalibrationResult(Output):
    """What the fit found: factors on the parameters of the GPU's default calibration."""

    gpu: str
    stack: Stack
    runs: int
    factors: dict[str, float]
    errors: CalibrationErrors
    memory: MemoryErrors | None
    per_run: list[RunErrors]


class CalibrationView(CalibrationResult):
    """A stored calibration; plans and estimates name it by `id`."""

    id: UUID
    name: str
    created_at: datetime
    catalog_digest: str = Field(description="Catalogue the factors apply to.")


class CalibrationList(Output):
    """A page of calibrations, and the cursor of the next one (null at the end)."""

    items: list[CalibrationView]
    next_cursor: str | None

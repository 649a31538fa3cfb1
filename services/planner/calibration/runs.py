"""Measured runs, and what the cost model predicts for them under a calibration of choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.catalog.calibrations import DEFAULT_STACK, Calibration, calibration_for, prior_calibration
from planner.engine.cost.price import price
from planner.engine.plan import estimate_problem
from planner.engine.pricing import estimate_strategy
from planner.engine.space import Pairs
from planner.engine.space.codec import encode

if TYPE_CHECKING:
    from planner.engine import Estimate, HomogeneousCluster, ModelSpec, Strategy, Workload
    from planner.engine.problem import Problem

SHORTEST_SECONDS, LONGEST_SECONDS = 1e-6, 1e6
"""What an iteration may be said to take."""
MOST_BYTES = 1e13
"""What a GPU may be said to hold."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training run that was measured: seconds per iteration, peak bytes per GPU where known, its release's age."""

    model: ModelSpec
    workload: Workload
    cluster: HomogeneousCluster
    strategy: Strategy
    seconds: float
    peak_bytes: float | None = None
    stack: str = DEFAULT_STACK
    age_months: float = 0.0


class PricedRun:
    """A run laid out once, to be priced under many calibrations."""

    def __init__(self, run: Run) -> None:
        """InvalidRequest when the engine refuses the run's question; UnknownNameError for an unknown stack."""
        self.run = run
        self._problem = estimate_problem(run.model, run.workload, run.cluster, run.strategy)
        self._layouts, self._options = encode(self._problem, run.strategy)
        gpu = self._problem.device.gpu
        self.generation, self.gpu = gpu.generation, gpu.name
        self.prior = replace(prior_calibration(gpu.generation, gpu.name, run.stack), age_months=run.age_months)
        self.default = replace(calibration_for(gpu.generation, gpu.name, run.stack), age_months=run.age_months)

    def problem(self, calibration: Calibration | None = None) -> Problem:
        """Return the question under `calibration`, by default the catalogue's."""
        return replace(self._problem, device=replace(self._problem.device, calibration=calibration or self.default))

    def seconds(self, calibration: Calibration | None = None) -> float:
        """Return predicted seconds per iteration."""
        problem = self.problem(calibration)
        layouts, options = self._layouts, self._options
        pricer = price(problem, layouts, options, Pairs.only(options))
        return float(pricer.seconds(np.zeros(1, np.intp), 0).item())

    def estimate(self, calibration: Calibration | None = None) -> Estimate:
        """Return the whole estimate, memory and breakdown included."""
        return estimate_strategy(self.problem(calibration), self.run.strategy, None)

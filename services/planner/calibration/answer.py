"""From the runs of a request to the calibration that answers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.memory import fit_memory
from planner.calibration.runs import PricedRun, Run
from planner.calibration.schemas import CalibrationErrors, CalibrationRequest, CalibrationResult, RunErrors
from planner.calibration.user import fit_factors, leave_one_out, responses
from planner.engine import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORTH_KEEPING = 1e-3


def calibrate(request: CalibrationRequest) -> CalibrationResult:
    """Return the calibration of the runs; InvalidRequest names the run that the engine refuses."""
    runs = [_priced(request, index) for index in range(len(request.runs))]
    _require_one_gpu(runs)
    response = responses(runs)
    before, after = leave_one_out(runs, response)
    factors = fit_factors(runs, response)
    memory, memory_factors = fit_memory(runs)
    return CalibrationResult(
        gpu=runs[0].gpu,
        stack=request.stack,
        runs=len(runs),
        factors={
            name: value for name, value in (factors | memory_factors).items() if abs(np.log(value)) > _WORTH_KEEPING
        },
        errors=CalibrationErrors(before=float(np.abs(before).mean()), after=float(np.abs(after).mean())),
        memory=memory,
        per_run=[RunErrors(before=old, after=new) for old, new in zip(before, after, strict=True)],
    )


def _priced(request: CalibrationRequest, index: int) -> PricedRun:
    given = request.runs[index]
    run = Run(
        model=given.model,
        workload=given.workload,
        cluster=given.cluster,
        strategy=given.strategy,
        seconds=given.iteration_seconds,
        peak_bytes=given.peak_bytes,
        stack=request.stack,
    )
    try:
        return PricedRun(run)
    except InvalidRequest as error:
        raise InvalidRequest(f"runs.{index}.{error.field}", error.value, error.message, error.remedy) from error


def _require_one_gpu(runs: Sequence[PricedRun]) -> None:
    for index, run in enumerate(runs):
        if run.gpu != runs[0].gpu:
            raise InvalidRequest(
                f"runs.{index}.cluster.gpu",
                run.gpu,
                f"differs from the first run's {runs[0].gpu}",
                "send one calibration for each GPU type",
            )

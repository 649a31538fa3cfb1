"""From a table of measured runs to the body of a POST /calibrations."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

from planner.calibration.schemas import FEWEST_RUNS, MOST_RUNS, CalibrationRequest, MeasuredRun
from planner.engine.inputs.cluster import Stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from planner.calibration.runs import PricedRun

_STACKS = get_args(Stack)


class UnfitRunsError(ValueError):
    """The runs make no calibration: the message says why, and what to choose."""


def body_of(runs: Sequence[PricedRun], name: str, gpu: str | None, stack: Stack | None) -> dict[str, Any]:
    """Return the body of the runs on `gpu`, by default all of them; `stack` by default is the one they all name.

    UnfitRunsError when they are of several GPU types or stacks, too few or too many.
    """
    chosen = [run for run in runs if gpu in {None, run.gpu}]
    if len({run.gpu for run in chosen}) > 1:
        raise UnfitRunsError(f"holds runs of {_counted(run.gpu for run in chosen)}; choose one with --gpu")
    if not FEWEST_RUNS <= len(chosen) <= MOST_RUNS:
        found = f"{len(chosen)} of {len(runs)} runs are usable" + (f" on {gpu}" if gpu else "")
        raise UnfitRunsError(f"{found}; a calibration takes {FEWEST_RUNS} to {MOST_RUNS}, those most like your plans")
    request = CalibrationRequest.model_validate(
        {"name": name, "stack": stack or _only_stack(chosen), "runs": [_measured(run) for run in chosen]}
    )
    return request.model_dump(mode="json", exclude_none=True)


def _only_stack(runs: Sequence[PricedRun]) -> str:
    named = {run.run.stack for run in runs}
    if len(named) > 1 or not named <= set(_STACKS):
        found = _counted(run.run.stack for run in runs)
        raise UnfitRunsError(f"holds runs of {found}; choose where to start from with --stack {'|'.join(_STACKS)}")
    return named.pop()


def _measured(priced: PricedRun) -> MeasuredRun:
    run = priced.run
    return MeasuredRun(
        model=run.model,
        workload=run.workload,
        cluster=run.cluster,
        strategy=run.strategy,
        iteration_seconds=run.seconds,
        peak_bytes=run.peak_bytes,
    )


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in Counter(names).most_common())

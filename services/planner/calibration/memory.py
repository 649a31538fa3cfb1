"""Memory parameters from runs that state their peak: what the framework holds, and what fragmentation adds.

Peak is linear in both, so the factors come from one small ridge regression on relative errors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.schemas import MemoryErrors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.calibration.runs import PricedRun
    from planner.catalog.calibrations import Calibration
    from planner.engine.types import Bools, Floats

_NAMES = ("framework_gib", "fragmentation")
_SPREAD = np.array([1.5, 0.10])
_NOISE = 0.05
_FEWEST = 3


def fit_memory(runs: Sequence[PricedRun]) -> tuple[MemoryErrors | None, dict[str, float]]:
    """Return leave-one-out errors and factors; nothing when fewer than three runs state a peak."""
    stated = [run for run in runs if run.run.peak_bytes]
    if len(stated) < _FEWEST:
        return None, {}
    base = _relative(stated, None)
    slopes = np.stack([_relative(stated, name) - base for name in _NAMES], axis=1)
    everyone = np.ones(len(stated), np.bool_)
    after = [_left_out(base, slopes, everyone, index) for index in range(len(stated))]
    errors = MemoryErrors(
        runs=len(stated), before=float(np.abs(base - 1).mean()), after=float(np.abs(np.array(after) - 1).mean())
    )
    return errors, _factors(stated[0].default, _change(base, slopes, everyone))


def _relative(runs: Sequence[PricedRun], moved: str | None) -> Floats:
    """Return predicted over measured peak, with the parameter `moved` raised by one unit."""
    return np.array([_peak(run, moved) / (run.run.peak_bytes or 1.0) for run in runs])


def _peak(run: PricedRun, moved: str | None) -> float:
    changed = run.default if moved is None else _raised(run.default, moved, 1.0)
    return run.estimate(changed).memory.peak


def _raised(calibration: Calibration, name: str, by: float) -> Calibration:
    return replace(calibration, **{name: getattr(calibration, name) + by})


def _change(base: Floats, slopes: Floats, use: Bools) -> Floats:
    normal = slopes[use].T @ slopes[use] / _NOISE**2 + np.diag(_SPREAD**-2.0)
    change: Floats = np.linalg.solve(normal, slopes[use].T @ (1 - base[use]) / _NOISE**2).astype(np.float64)
    return change


def _left_out(base: Floats, slopes: Floats, everyone: Bools, index: int) -> float:
    others = everyone.copy()
    others[index] = False
    return float(base[index] + slopes[index] @ _change(base, slopes, others))


def _factors(default: Calibration, change: Floats) -> dict[str, float]:
    values = {name: getattr(default, name) for name in _NAMES}
    return {
        name: max((values[name] + by) / values[name], 0.1) for name, by in zip(_NAMES, change.tolist(), strict=True)
    }

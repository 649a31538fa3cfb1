"""A calibration of a few runs on top of the default.

With 3 to 50 runs of one site the prior does most of the work: a common factor on everything takes up what the runs
share without saying why, what one model's runs share stands beside it, and the parameters that name a mechanism may
move the further the more runs there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.fit import factors_of, jacobian, solve
from planner.calibration.parameters import NAMES, PARAMETERS
from planner.catalog.calibrations import adjusted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.calibration.runs import PricedRun
    from planner.engine.types import Floats

_SPREAD = np.array([parameter.spread for parameter in PARAMETERS])
_IS_MECHANISM = np.array(NAMES) != "slowdown"
_NOISE = 0.05
"""Standard deviation of log(measured) between runs of one site that the best calibration leaves."""
_FREEDOM, _MOST_FREEDOM = 0.06, 0.5
"""Share of its spread that a mechanism may take, for one run (it grows with their root) and at most."""
_MODEL_SPREAD = 0.12


@dataclass(frozen=True, slots=True)
class Correction:
    """What a site's runs change: factors on the default calibration, and a factor on each model that was run."""

    factors: dict[str, float]
    models: dict[str, float]

    def seconds(self, run: PricedRun, model: str) -> float:
        """Return the corrected seconds per iteration of `run`."""
        return run.seconds(adjusted(run.default, self.factors)) * self.models.get(model, 1.0)


def responses(runs: Sequence[PricedRun]) -> Floats:
    """Return d log seconds / d log factor of each run at its default, scaled by the prior, shape (runs, parameters)."""
    slopes = jacobian(lambda x: log_seconds(runs, x), np.zeros((len(runs), len(PARAMETERS))))
    scaled: Floats = slopes * _SPREAD
    return scaled


def fit_factors(runs: Sequence[PricedRun], response: Floats) -> dict[str, float]:
    """Return the factors that explain `runs`, each a run with the row of `responses` that belongs to it."""

    def predict(x: Floats) -> Floats:
        return log_seconds(runs, np.broadcast_to(x, (len(runs), len(x))))

    return _solved(predict, _measured(runs), response)


def fit_correction(runs: Sequence[PricedRun], models: Sequence[str], response: Floats) -> Correction:
    """Return factors, and what is left to each of `models`, the name of each run's.

    Log seconds are taken as linear in log factors: so few runs move them little.
    """
    names = sorted(set(models))
    belongs = np.array([[model == name for name in names] for model in models], np.float64)
    design = np.hstack([response / _SPREAD, belongs])
    spread = np.concatenate([_spread(len(runs)), np.full(len(names), _MODEL_SPREAD)])
    base = log_seconds(runs, np.zeros_like(response))
    fit = solve(_linear(base, design), _measured(runs), design, spread, np.ones(len(runs)), _NOISE)
    moved = fit.x[: len(PARAMETERS)]
    left = np.exp(fit.x[len(PARAMETERS) :]).tolist()
    return Correction(factors_of(moved), dict(zip(names, left, strict=True)))


def _spread(runs: int) -> Floats:
    freedom = min(_FREEDOM * runs**0.5, _MOST_FREEDOM)
    spread: Floats = np.where(_IS_MECHANISM, freedom, 1.0) * _SPREAD
    return spread


def _measured(runs: Sequence[PricedRun]) -> Floats:
    return np.log([run.run.seconds for run in runs])


def _solved(predict: Callable[[Floats], Floats], measured: Floats, response: Floats) -> dict[str, float]:
    spread, count = _spread(len(measured)), len(measured)
    return factors_of(solve(predict, measured, response / _SPREAD, spread, np.ones(count), _NOISE).x)


def log_seconds(runs: Sequence[PricedRun], x: Floats) -> Floats:
    """Return log predicted seconds of `runs` under log factors, shape (runs, parameters), on their defaults."""
    return np.log([run.seconds(adjusted(run.default, factors_of(row))) for run, row in zip(runs, x, strict=True)])


def leave_one_out(runs: Sequence[PricedRun], response: Floats) -> tuple[list[float], list[float]]:
    """Return signed relative errors of each run before calibration, and after one fitted on the others.

    The fits on the others take log seconds as linear in log factors; what they are judged by is priced exactly.
    """
    slope, measured = response / _SPREAD, _measured(runs)
    base = log_seconds(runs, np.zeros_like(response))
    before, after = [], []
    for index, run in enumerate(runs):
        others = np.arange(len(runs)) != index
        factors = _solved(_linear(base[others], slope[others]), measured[others], response[others])
        before.append(run.seconds() / run.run.seconds - 1)
        after.append(run.seconds(adjusted(run.default, factors)) / run.run.seconds - 1)
    return before, after


def _linear(base: Floats, slope: Floats) -> Callable[[Floats], Floats]:
    def predict(x: Floats) -> Floats:
        seconds: Floats = base + slope @ x
        return seconds

    return predict

"""A calibration of a few runs on top of the default.

With 3 to 50 runs of one site the prior does most of the work: every parameter may move by its spread, and a common
factor on everything (`_SITE`) takes up what the runs share without saying why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.fit import factors_of, jacobian, solve
from planner.calibration.parameters import PARAMETERS
from planner.catalog.calibrations import adjusted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.calibration.runs import PricedRun
    from planner.engine.types import Floats

_SPREAD = np.array([parameter.spread for parameter in PARAMETERS])


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


def _measured(runs: Sequence[PricedRun]) -> Floats:
    return np.log([run.run.seconds for run in runs])


def _solved(predict: Callable[[Floats], Floats], measured: Floats, response: Floats) -> dict[str, float]:
    return factors_of(solve(predict, measured, response / _SPREAD, _SPREAD, np.ones(len(measured))).x)


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

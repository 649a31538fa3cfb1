"""Regularised least squares on log residuals.

Minimise sum_i w_i rho(log predicted_i(x) - log measured_i) + sum_j (x_j / spread_j)^2 over log factors x, rho the
Huber loss, by Gauss-Newton with one Jacobian: predictions are near log-linear in log factors, so its steps converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.parameters import LARGEST_LOG_FACTOR, NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.engine.types import Floats

    Predict = Callable[[Floats], Floats]

_HUBER = 2.5
_STEPS = 8
_CONVERGED = 3e-3
_DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True)
class Fit:
    """Log factors, shape (effects,), and the log residuals predicted - measured they leave, shape (rows,)."""

    x: Floats
    residuals: Floats


def jacobian(predict: Predict, at: Floats) -> Floats:
    """Return d log seconds / d log factor by forward differences, shape (rows, parameters).

    `predict` maps log factors, shape (rows, parameters), to log seconds, shape (rows,).
    """
    base = predict(at)
    columns = []
    for index in range(at.shape[1]):
        step = np.zeros(at.shape[1])
        step[index] = _DIFFERENCE
        columns.append((predict(at + step) - base) / _DIFFERENCE)
    return np.stack(columns, axis=1)


def solve(
    predict: Callable[[Floats], Floats],
    measured: Floats,
    design: Floats,
    spread: Floats,
    weights: Floats,
    noise: float,
) -> Fit:
    """Return the minimum over effects x.

    `predict(x)` gives log seconds, `measured` log seconds; `design` is d log seconds / d x, shape (rows, effects);
    `spread` the prior of each effect; `weights` the rows'; `noise` the standard deviation of
    log(measured) that the best model leaves. A step that does not lower the loss is halved.
    """
    x = np.zeros(design.shape[1])
    residuals = predict(x) - measured
    least = loss(residuals, weights, x, spread, noise)
    scale = 1.0
    for _ in range(_STEPS):
        robust = weights * _huber(residuals / noise) / noise**2
        normal = design.T @ (design * robust[:, None]) + np.diag(spread**-2.0)
        step = np.linalg.solve(normal, design.T @ (robust * residuals) + x / spread**2)
        tried = np.clip(x - scale * step, -LARGEST_LOG_FACTOR, LARGEST_LOG_FACTOR)
        left = predict(tried) - measured
        lower = loss(left, weights, tried, spread, noise)
        if lower >= least:
            scale /= 2
            continue
        converged = least - lower < _CONVERGED * least
        x, residuals, least = tried, left, lower
        if converged:
            break
    return Fit(x, residuals)


def loss(residuals: Floats, weights: Floats, x: Floats, spread: Floats, noise: float) -> float:
    """Return what `solve` minimises."""
    size = np.abs(residuals / noise)
    huber = np.where(size > _HUBER, _HUBER * (2 * size - _HUBER), size**2)
    return float((weights * huber).sum() + ((x / spread) ** 2).sum())


def _huber(scaled: Floats) -> Floats:
    """Weight of each residual under the Huber loss: rows that no parameter explains do not steer the fit."""
    size = np.abs(scaled)
    return np.where(size > _HUBER, _HUBER / np.maximum(size, 1e-12), 1.0)


def factors_of(x: Sequence[float] | Floats) -> dict[str, float]:
    """Return log factors in the order of `PARAMETERS` as factors by name."""
    return {name: float(np.exp(value)) for name, value in zip(NAMES, x, strict=True)}

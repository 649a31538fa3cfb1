"""The hierarchy of a fit over many sources: generation, stack, GPU, source.

log factor of a row = generation + stack + GPU + source effect. Source effects absorb what a site does its own way and
never reach a prediction for another source, so a source with many rows cannot bend what others inherit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.fit import Fit, factors_of, jacobian, loss, solve
from planner.calibration.parameters import NAMES, PARAMETERS
from planner.catalog.calibrations import adjusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.types import Floats, Ints
    from planner.validation.convert import PricedCase

_LEVELS = {"generation": 1.0, "stack": 0.3, "gpu": 0.3, "source": 0.5}
"""Share of a parameter's prior spread each level may take."""

_SLOWDOWN = {"generation": 1e-4, "stack": 0.05, "gpu": 0.05, "source": 0.12}
"""Spread of the factor on everything, which names no mechanism: next to nothing for a generation, most for a source."""

_SPREAD = np.array([parameter.spread for parameter in PARAMETERS])
_WIDTH = len(PARAMETERS)
_NOISE = 0.20
"""Standard deviation of log(measured) that the best default leaves: sites, software versions and unstated settings."""
_ROUNDS = 2
_SCALES = (1.0, 0.5, 0.25)


def _spread(level: str) -> Floats:
    """Return the prior of each parameter at `level`."""
    spread: Floats = np.where(np.array(NAMES) == "slowdown", _SLOWDOWN[level], _SPREAD * _LEVELS[level])
    return spread


def labels_of(priced: PricedCase) -> dict[str, str]:
    """Return the member of each level that a case belongs to; a source is split by GPU."""
    return {
        "generation": priced.generation,
        "stack": priced.run.stack,
        "gpu": priced.gpu,
        "source": f"{priced.case.row.text('source')}/{priced.gpu}",
    }


@dataclass(frozen=True)
class Hierarchy:
    """Rows priced once, with the design of every effect. `jacobian` is shared by all fits."""

    rows: Sequence[PricedCase]
    members: list[tuple[str, str]]
    membership: Floats
    base: Floats
    jacobian: Floats
    measured: Floats

    @classmethod
    def of(cls, rows: Sequence[PricedCase]) -> Hierarchy:
        """Return the hierarchy over `rows`."""
        labels = [labels_of(row) for row in rows]
        members = sorted({(level, row[level]) for row in labels for level in _LEVELS})
        membership = np.array([[row[level] == name for level, name in members] for row in labels], np.float64)
        measured = np.log([row.case.run.seconds for row in rows])
        at_base = np.zeros((len(rows), _WIDTH))
        slopes = jacobian(lambda x: log_seconds(rows, x), at_base)
        return cls(rows, members, membership, log_seconds(rows, at_base), slopes, measured)

    def fit(self, use: Ints) -> Fit:
        """Return the effects fitted on the rows at `use`, weighted by `group_weights`.

        Log seconds are taken as linear in log factors; `refined` corrects for what is not.
        """
        membership = self.membership[use]
        design = (membership[:, :, None] * self.jacobian[use][:, None, :]).reshape(len(use), -1)
        spread = np.concatenate([_spread(level) for level, _ in self.members])
        base = self.base[use]

        def predict(x: Floats) -> Floats:
            seconds: Floats = base + design @ x
            return seconds

        rows = [self.rows[index] for index in use]
        return solve(predict, self.measured[use], design, spread, group_weights(rows), _NOISE)

    def settled(self) -> Fit:
        """Return the effects fitted on all rows with predictions priced exactly: Gauss-Newton with step halving."""
        everything, spread = np.arange(len(self.rows)), np.concatenate([_spread(level) for level, _ in self.members])
        weights, around = group_weights(self.rows), self
        x = np.zeros(self.membership.shape[1] * _WIDTH)
        residuals = self.base - self.measured
        for _ in range(_ROUNDS):
            step = around.fit(everything).x - x
            for scale in _SCALES:
                tried = log_seconds(self.rows, self._factors(x + scale * step)) - self.measured
                if loss(tried, weights, x + scale * step, spread, _NOISE) < loss(residuals, weights, x, spread, _NOISE):
                    x, residuals = x + scale * step, tried
                    break
            else:
                break
            around = self.refined(Fit(x, residuals))
        return Fit(x, residuals)

    def _factors(self, x: Floats) -> Floats:
        factors: Floats = self.membership @ x.reshape(len(self.members), _WIDTH)
        return factors

    def refined(self, fit: Fit) -> Hierarchy:
        """Return the same rows linearised around `fit`: a second fit there corrects what the first took as linear."""
        at = self._factors(fit.x)
        slopes = jacobian(lambda x: log_seconds(self.rows, x), at)
        return replace(self, base=log_seconds(self.rows, at) - (slopes * at).sum(axis=1), jacobian=slopes)

    def effects(self, fit: Fit) -> dict[tuple[str, str], dict[str, float]]:
        """Return the factors of every member of every level."""
        table = fit.x.reshape(len(self.members), _WIDTH)
        return {member: factors_of(table[index]) for index, member in enumerate(self.members)}

    def predict(self, fit: Fit, use: Ints, *, sources: bool) -> Floats:
        """Return predicted seconds of the rows at `use`, with or without the effects of their sources."""
        keep = np.array([sources or level != "source" for level, _ in self.members], np.float64)
        table = fit.x.reshape(len(self.members), _WIDTH) * keep[:, None]
        return np.exp(log_seconds([self.rows[index] for index in use], self.membership[use] @ table))


def log_seconds(rows: Sequence[PricedCase], x: Floats) -> Floats:
    """Return log predicted seconds of `rows` under the log factors `x`, shape (rows, parameters), on their bases."""
    return np.log([row.seconds(adjusted(row.prior, factors_of(values))) for row, values in zip(rows, x, strict=True)])


def group_weights(rows: Sequence[PricedCase]) -> Floats:
    """Return a weight per row: the inverse root of how many rows share its source, GPU and model, scaled to mean 1."""
    keys = [(row.case.row.text("source"), row.gpu, row.case.row.text("model_name")) for row in rows]
    counts = Counter(keys)
    weights = np.array([counts[key] ** -0.5 for key in keys])
    scaled: Floats = weights / weights.mean()
    return scaled

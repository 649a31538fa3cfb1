"""Figures with their uncertainty."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_Z = 1.959963984540054
"""Two-sided 95 percent."""


class Estimate(NamedTuple):
    """A figure and its 95 percent confidence interval."""

    value: float
    low: float
    high: float


def proportion(successes: int, total: int) -> Estimate:
    """Wilson's score interval, which holds for few trials and near 0 and 1."""
    if total == 0:
        return Estimate(math.nan, 0.0, 1.0)
    share, z2 = successes / total, _Z * _Z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def mean(values: Sequence[float]) -> Estimate:
    """The mean with a normal interval; of one value, no interval is known."""
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    centre = math.fsum(values) / len(values)
    if len(values) == 1:
        return Estimate(centre, math.nan, math.nan)
    variance = math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)
    half = _Z * math.sqrt(variance / len(values))
    return Estimate(centre, centre - half, centre + half)

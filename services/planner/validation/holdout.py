"""`--calibrate K`: which K rows of a group are measured first, and what the others are then predicted as.

Rule: within each (source, GPU type, precision), the rows whose predicted time responds to the parameters most unlike
one another. Starting from the row nearest the group's mean response, the next is always the one farthest from those
already taken (Gonzalez 1985); ties go to the earlier row. Only the questions decide, never the measured times.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.user import fit_factors, responses
from planner.catalog.calibrations import adjusted
from planner.validation.metrics import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.types import Floats
    from planner.validation.convert import PricedCase


def farthest(points: Floats, count: int) -> list[int]:
    """Return the indices of `count` points, shape (points, dimensions), by the rule above."""
    first = int(np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1)))
    chosen = [first]
    nearest = ((points - points[first]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(points)):
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def calibrated(priced: Sequence[PricedCase], count: int) -> tuple[list[Prediction], list[dict[str, str]]]:
    """Return predictions of the rows not fitted on, and the rows fitted on as skipped with that reason."""
    groups: dict[tuple[str, str, str], list[PricedCase]] = defaultdict(list)
    for one in priced:
        groups[one.case.group].append(one)
    predictions, used = [], []
    for members in groups.values():
        response = responses(members)
        chosen = farthest(response, count)
        factors = fit_factors([members[index] for index in chosen], response[chosen])
        used += [
            {"id": members[index].case.row.id, "reason": "calibrated on: one of the K rows of its group"}
            for index in chosen
        ]
        predictions += [
            Prediction(one.case, one.seconds(adjusted(one.default, factors)))
            for index, one in enumerate(members)
            if index not in chosen
        ]
    return predictions, used

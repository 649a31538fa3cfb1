"""`--calibrate K`: which K rows of a group are measured first, and what the others are then predicted as.

Rule: within each (source, GPU type, precision), the rows that stand for the others best: the K rows to which the
distances of all rows sum least (k-medoids: a greedy start, then exchanges while one helps). Rows are near when their
predicted times respond alike to the parameters and they train the same model. Only the questions decide, never the
measured times.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from planner.calibration.user import fit_correction, responses
from planner.validation.metrics import Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.types import Floats
    from planner.validation.convert import PricedCase

_OTHER_MODEL = 0.04
"""How far apart two models are, on the scale of responses to parameters that move by their prior's spread."""


def medoids(points: Floats, count: int) -> list[int]:
    """Return the indices of `count` points, shape (points, dimensions), by the rule above; ties go to the earlier."""
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    chosen: list[int] = []
    while len(chosen) < min(count, len(points)):
        sums = np.minimum(apart, apart[chosen].min(axis=0, initial=np.inf)).sum(axis=1)
        sums[chosen] = np.inf
        chosen.append(int(sums.argmin()))
    best = apart[chosen].min(axis=0).sum()
    while True:
        sums = [apart[other].min(axis=0).sum() for other in _exchanges(chosen, len(points))]
        if not sums or min(sums) >= best * (1 - 1e-9):
            return chosen
        best = min(sums)
        chosen = list(_exchanges(chosen, len(points)))[int(np.argmin(sums))]


def _exchanges(chosen: list[int], points: int) -> Iterator[list[int]]:
    """Yield every choice that differs by one."""
    others = [index for index in range(points) if index not in chosen]
    for place in range(len(chosen)):
        for other in others:
            yield [*chosen[:place], other, *chosen[place + 1 :]]


def calibrated(priced: Sequence[PricedCase], count: int) -> tuple[list[Prediction], list[dict[str, str]]]:
    """Return predictions of the rows not fitted on, and the rows fitted on as skipped with that reason."""
    groups: dict[tuple[str, str, str], list[PricedCase]] = defaultdict(list)
    for one in priced:
        groups[one.case.group].append(one)
    predictions, used = [], []
    for members in groups.values():
        models = [one.case.row.text("model_name") for one in members]
        response = responses(members)
        chosen = medoids(np.hstack([response, _OTHER_MODEL * _indicators(models)]), count)
        correction = fit_correction([members[at] for at in chosen], [models[at] for at in chosen], response[chosen])
        used += [
            {"id": members[index].case.row.id, "reason": "calibrated on: one of the K rows of its group"}
            for index in chosen
        ]
        predictions += [
            Prediction(one.case, correction.seconds(one, models[index]))
            for index, one in enumerate(members)
            if index not in chosen
        ]
    return predictions, used


def _indicators(models: Sequence[str]) -> Floats:
    names = sorted(set(models))
    return np.array([[model == name for name in names] for model in models], np.float64)

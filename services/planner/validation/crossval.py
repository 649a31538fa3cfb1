"""Cross-validation of the default fit: each group predicted from a fit that never saw it.

Leaving out *sources* is how a new site fares. Leaving out *groups* (model x GPU x source) is how a new model fares at
a known site; its predictions carry the site's effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.calibration.effects import Hierarchy
from planner.validation.metrics import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.validation.convert import PricedCase

Leave = Literal["source", "group"]


def cross_validate(
    priced: Sequence[PricedCase], leave: Leave, progress: Callable[[str, int], None] | None = None
) -> list[Prediction]:
    """Return a prediction of every case from a fit on the others; `progress` is told each fold's name and size."""
    hierarchy = Hierarchy.of(priced)
    names = [fold_of(one, leave) for one in priced]
    predictions: list[Prediction | None] = [None] * len(priced)
    for name in sorted(set(names)):
        held = np.flatnonzero([other == name for other in names])
        if progress:
            progress(name, len(held))
        fit = hierarchy.fit(np.setdiff1d(np.arange(len(priced)), held), linear=leave == "group")
        seconds = hierarchy.predict(fit, held, sources=leave == "group")
        for index, value in zip(held.tolist(), seconds, strict=True):
            predictions[index] = Prediction(priced[index].case, float(value))
    return [prediction for prediction in predictions if prediction is not None]


def fold_of(one: PricedCase, leave: Leave) -> str:
    """Return the fold a case belongs to."""
    source = one.case.row.text("source")
    return source if leave == "source" else " / ".join((source, one.case.row.text("model_name"), one.gpu))

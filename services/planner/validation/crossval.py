"""Cross-validation of the default fit: each group predicted from a fit that never saw it.

Leaving out *sources* is how a new site fares. Leaving out *groups* (model x GPU x source) is how a new model fares at
a known site; its predictions carry the site's effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.validation.metrics import Prediction

if TYPE_CHECKING:
    from planner.calibration.effects import Hierarchy
    from planner.validation.convert import PricedCase

Leave = Literal["source", "group"]


def cross_validate(hierarchy: Hierarchy, leave: Leave) -> list[Prediction]:
    """Return a prediction of every case of `hierarchy` from a fit on the others."""
    priced = hierarchy.rows
    names = [fold_of(one, leave) for one in priced]
    predictions: list[Prediction] = []
    for name in sorted(set(names)):
        held = np.flatnonzero([other == name for other in names])
        fit = hierarchy.fit(np.setdiff1d(np.arange(len(priced)), held))
        seconds = hierarchy.predict(fit, held, sources=leave == "group")
        predictions += [
            Prediction(priced[index].case, float(value)) for index, value in zip(held.tolist(), seconds, strict=True)
        ]
    return predictions


def fold_of(one: PricedCase, leave: Leave) -> str:
    """Return the fold a case belongs to."""
    source = one.case.row.text("source")
    return source if leave == "source" else " / ".join((source, one.case.row.text("model_name"), one.gpu))

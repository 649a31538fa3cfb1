"""Errors of predictions, as fractions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from planner.validation.convert import Case

_WITHIN = (5, 10, 20)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One case, what was measured and what the model says. Seconds."""

    case: Case
    predicted: float

    @property
    def error(self) -> float:
        """Signed relative error."""
        return self.predicted / self.case.run.seconds - 1


def errors_of(errors: Iterable[float]) -> dict[str, float]:
    """Return count, mean and median absolute error, shares within 5, 10 and 20 %, and mean signed error."""
    signed = np.array(list(errors), np.float64)
    if not len(signed):
        return {"rows": 0}
    size = np.abs(signed)
    return {
        "rows": len(signed),
        "mape": float(size.mean()),
        "median_ape": float(np.median(size)),
        **{f"within_{percent}": float((size <= percent / 100).mean()) for percent in _WITHIN},
        "bias": float(signed.mean()),
    }


def errors_by(predictions: Sequence[Prediction], key: Callable[[Case], str]) -> dict[str, dict[str, float]]:
    """Return `errors_of` for every value of `key`, the largest group first."""
    groups: dict[str, list[float]] = defaultdict(list)
    for prediction in predictions:
        groups[key(prediction.case)].append(prediction.error)
    return {
        name: errors_of(errors) for name, errors in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    }

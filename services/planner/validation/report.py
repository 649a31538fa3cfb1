"""Validation from end to end: a table of rows in, the report out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.validation.convert import PricedCase, case_of, warnings_of
from planner.validation.metrics import Prediction, errors_by, errors_of
from planner.validation.ranking import READINGS, rank_groups
from planner.validation.rows import InexpressibleError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.validation.convert import Case
    from planner.validation.ranking import RankedGroup
    from planner.validation.rows import Row

MAY_EXCEED = 0.10
"""A run that really ran may be called at most this much too large for its GPU."""


@dataclass
class Reading:
    """Rows read: those the engine can price, those it cannot with the reason, and contradictions in either."""

    rows: int
    priced: list[PricedCase] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)


def read_cases(rows: Sequence[Row]) -> Reading:
    """Return every row as a case, or the reason why it is none."""
    reading = Reading(len(rows))
    for row in rows:
        try:
            priced = PricedCase(case_of(row))
            texts = [*warnings_of(row), *filter(None, [priced.assumed])]
        except InexpressibleError as error:
            reading.skipped.append({"id": row.id, "reason": str(error)})
            continue
        reading.priced.append(priced)
        reading.warnings += [{"id": row.id, "warning": text} for text in texts]
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    reading.warnings += [{"id": name, "warning": "id: stands more than once"} for name in repeated]
    return reading


def report_of(reading: Reading, predictions: Sequence[Prediction], memory: dict[str, Any]) -> dict[str, Any]:
    """Return the report as JSON values, errors as fractions."""
    total = {"mape": None, **errors_of(prediction.error for prediction in predictions)}
    total.pop("rows")
    keys = {
        "source": lambda case: case.row.text("source"),
        "gpu": lambda case: case.row.text("gpu_type"),
        "family": family_of,
        "tier": lambda case: case.row.text("tier"),
    }
    return {
        "rows": reading.rows,
        "used": len(predictions),
        "skipped": reading.skipped,
        **total,
        "memory": memory,
        "ranking": ranking_of(predictions),
        "by": {name: errors_by(predictions, key) for name, key in keys.items()},
        "predictions": [
            {"id": one.case.row.id, "measured": one.case.run.seconds, "predicted": one.predicted} for one in predictions
        ],
        "warnings": reading.warnings,
    }


def family_of(case: Case) -> str:
    """Return the parallelism family and whether the model has experts."""
    kind = "moe" if case.row.integer("moe_experts", 0) else "dense"
    return f"{case.row.text('family')} {kind}"


def ranking_of(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return the means over groups of five or more runs, and by each stricter reading of what is ranked."""
    means = {reading: _means(rank_groups(predictions, reading)) for reading in READINGS}
    return {**means.pop("runs"), **{reading.replace(" ", "_"): values for reading, values in means.items()}}


def readings_of(ranking: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the means of `ranking_of` by what is ranked, those that stand at its top under "runs"."""
    stricter = {name.replace("_", " "): means for name, means in ranking.items() if isinstance(means, dict)}
    return {"runs": ranking, **stricter}


def _means(groups: Sequence[RankedGroup]) -> dict[str, float | int | None]:
    return {
        "groups": len(groups),
        "mean_regret": float(np.mean([group.regret for group in groups])) if groups else None,
        "mean_spearman": float(np.mean([group.spearman for group in groups])) if groups else None,
    }


def memory_of(priced: Sequence[PricedCase]) -> dict[str, Any]:
    """Return peak-memory errors, and the runs that the engine wrongly calls infeasible by more than a tenth."""
    errors, refused, states = [], [], 0
    for one in priced:
        memory = one.estimate().memory
        if memory.peak > memory.capacity * (1 + MAY_EXCEED):
            refused.append({"id": one.case.row.id, "excess": memory.peak / memory.capacity - 1})
        if one.case.run.peak_bytes:
            states += 1
            errors.append(memory.peak / one.case.run.peak_bytes - 1)
    return {"mape": None, **errors_of(errors), "rows": states, "wrongly_infeasible": refused}

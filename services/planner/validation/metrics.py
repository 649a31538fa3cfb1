"""Errors of predictions, as fractions; and how well predictions rank plans."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from planner.engine.types import Floats
    from planner.validation.convert import Case

RUNS_TO_RANK = 5
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


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """Runs of one model on the same GPUs with the same batch: a run is a plan on one software release.

    `plans`: how many plans there are among `runs`; `regret`: best throughput over the chosen run's, - 1.
    """

    key: tuple[str, ...]
    runs: int
    plans: int
    regret: float
    spearman: float


def rank_groups(predictions: Sequence[Prediction], least: int = RUNS_TO_RANK) -> list[RankedGroup]:
    """Return every group of at least `least` runs of one source, model, GPU type and count, batch and precision.

    Rows that repeat a plan on one release are one run, and its time is their median.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for prediction in predictions:
        case = prediction.case
        run = case.run.strategy.model_dump_json(), case.row.text("framework")
        groups[_ranking_key(case)][run].append(prediction)
    return [_ranked(key, runs) for key, runs in sorted(groups.items()) if len(runs) >= least]


def _ranking_key(case: Case) -> tuple[str, ...]:
    row = case.row
    columns = ("source", "model_name", "layers", "hidden", "heads", "gpu_type", "gpu_mem_gb", "num_gpus")
    return (*(row.text(name) for name in columns), row.text("global_batch"), row.text("seq_len"), row.text("precision"))


def _ranked(key: tuple[str, ...], runs: Mapping[tuple[str, str], Sequence[Prediction]]) -> RankedGroup:
    measured = np.array([np.median([row.case.run.seconds for row in rows]) for rows in runs.values()])
    predicted = np.array([np.median([row.predicted for row in rows]) for rows in runs.values()])
    regret = float(measured[predicted.argmin()] / measured.min() - 1)
    plans = len({strategy for strategy, _ in runs})
    return RankedGroup(key, len(runs), plans, regret, spearman(measured, predicted))


def spearman(left: Floats, right: Floats) -> float:
    """Return the rank correlation, ties sharing their mean rank; 0 when either side is constant."""
    ranks = [_ranks(values) for values in (left, right)]
    if any(values.std() == 0 for values in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2)[inverse]
    return ranks

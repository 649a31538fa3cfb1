"""How well predictions rank the runs of one model on the same GPUs with the same batch.

A run is a plan at a precision on one software release; rows that repeat it are one run, and its time is their median.
Two stricter readings stand beside it: runs of one source and precision, where what is easy to tell apart is taken
away, and plans alone, the median over releases, of which the model knows no more than that newer ones are faster.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from planner.engine.types import Floats
    from planner.validation.convert import Case
    from planner.validation.metrics import Prediction

    Rows: TypeAlias = Sequence[Prediction]

LEAST = 5
"""A group holds at least so many of what it ranks."""

Reading = Literal["runs", "runs of one precision", "plans"]
READINGS: tuple[Reading, ...] = ("runs", "runs of one precision", "plans")

_QUESTION = ("model_name", "layers", "hidden", "heads", "gpu_type", "gpu_mem_gb", "num_gpus", "global_batch", "seq_len")
_STRICTER = ("source", "precision")


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """A group and how well its runs or plans are ranked.

    `key`: the columns that its rows share; `plans`: how many plans there are among `ranked` runs or plans; `regret`:
    best throughput over that of the one ranked first, - 1; `spearman`: the rank correlation.
    """

    key: Mapping[str, str]
    ranked: int
    plans: int
    regret: float
    spearman: float


def rank_groups(predictions: Iterable[Prediction], reading: Reading = "runs", least: int = LEAST) -> list[RankedGroup]:
    """Return every group of at least `least` runs or plans, as `reading` says."""
    columns = (*_QUESTION, *(_STRICTER if reading == "runs of one precision" else ()))
    groups: dict[tuple[str, ...], dict[tuple[str, ...], list[Prediction]]] = defaultdict(lambda: defaultdict(list))
    for one in predictions:
        row = one.case.row
        release = "" if reading == "plans" else row.text("framework")
        groups[tuple(row.text(name) for name in columns)][(*_plan(one.case), release)].append(one)
    return [
        _ranked(dict(zip(columns, key, strict=True)), members)
        for key, members in sorted(groups.items())
        if len(members) >= least
    ]


def _plan(case: Case) -> tuple[str, str]:
    return case.run.strategy.model_dump_json(), case.row.text("precision")


def _ranked(key: Mapping[str, str], members: Mapping[tuple[str, ...], Rows]) -> RankedGroup:
    measured = np.array([np.median([row.case.run.seconds for row in rows]) for rows in members.values()])
    predicted = np.array([np.median([row.predicted for row in rows]) for rows in members.values()])
    regret = float(measured[predicted.argmin()] / measured.min() - 1)
    plans = len({(strategy, precision) for strategy, precision, _ in members})
    return RankedGroup(key, len(members), plans, regret, spearman(measured, predicted))


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

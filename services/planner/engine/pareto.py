"""Pareto sets of (time, money): both are better when smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.engine.types import Bools, Floats, Ints


def pareto(time: Floats, money: Floats) -> Ints:
    """Return the indices of the points that no other point beats or equals in both, ascending by time.

    Of equal points the first stays.
    """
    order = np.lexsort((np.arange(len(time)), money, time))
    cheapest = np.minimum.accumulate(np.concatenate([[np.inf], money[order]]))[:-1]
    kept: Ints = order[money[order] < cheapest]
    return kept


def undominated(time: Floats, money: Floats, front_time: Floats, front_money: Floats) -> Bools:
    """Return which points no front point equals or beats in both.

    The front ascends by time and so descends by money.
    """
    if not len(front_time):
        return np.ones(len(time), np.bool_)
    position = np.searchsorted(front_time, time, side="right") - 1
    best = np.where(position >= 0, front_money[position], np.inf)
    better: Bools = money < best
    return better

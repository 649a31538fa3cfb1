"""Choosing the best k points of an admitted, feasible space: exact, with or without bounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.engine.cost.price import Pricer
    from planner.engine.types import Bools, Floats, Ints

_FIRST_PAIRS = 64
_CELLS_PER_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Best:
    """The k best points, ascending by time, ties by layout, work and state index. Parallel arrays."""

    seconds: Floats
    layout: Ints
    work: Ints
    state: Ints

    def __len__(self) -> int:
        return len(self.seconds)

    def merge(self, other: Best, limit: int) -> Best:
        """Return the best `limit` points of both."""
        joined = (
            np.concatenate([self.seconds, other.seconds]),
            np.concatenate([self.layout, other.layout]),
            np.concatenate([self.work, other.work]),
            np.concatenate([self.state, other.state]),
        )
        order = np.lexsort((joined[3], joined[2], joined[1], joined[0]))[:limit]
        return Best(*(column[order] for column in joined))

    @classmethod
    def empty(cls) -> Best:
        """Return no points."""
        nothing = np.zeros(0, np.int32)
        return cls(np.zeros(0), nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class Feasible:
    """Which points stand.

    `pairs` (layouts, work) says where a state option is left, `points(layout, work)` which, shape (n, state).
    """

    pairs: Bools
    points: Callable[[Ints, Ints], Bools]


def choose(pricer: Pricer, feasible: Feasible, bar: float, limit: int, *, exhaustive: bool) -> tuple[Best, int]:
    """Return the best `limit` points no slower than `bar`, and how many were priced.

    Pairs are taken by ascending lower bound; once the bound passes the k-th best time no later pair can enter, so
    stopping there loses nothing (ties included: equal bounds are still priced).
    """
    layout, work = (index.astype(np.int32) for index in np.nonzero(feasible.pairs))
    bounds = pricer.bounds()[layout, work]
    if not exhaustive:
        worth = bounds <= bar
        layout, work, bounds = layout[worth], work[worth], bounds[worth]
    order = np.lexsort((work, layout, bounds))
    layout, work, bounds = layout[order], work[order], bounds[order]
    best, priced = Best.empty(), 0
    states = pricer.fixed.shape[1]
    for block in _blocks(len(layout), states):
        if not exhaustive and len(best) >= limit and bounds[block.start] > best.seconds[-1]:
            break
        rows, columns = layout[block], work[block]
        found, count = _price_block(pricer, feasible.points(rows, columns), rows, columns, limit)
        best, priced = best.merge(found, limit), priced + count
    return best, priced


def _blocks(pairs: int, states: int) -> Iterator[slice]:
    """A small first block sets the bar; the others fill the cache."""
    start, size = 0, _FIRST_PAIRS
    while start < pairs:
        yield slice(start, min(start + size, pairs))
        start, size = start + size, max(_CELLS_PER_BLOCK // states, 1)


def _price_block(pricer: Pricer, stands: Bools, layout: Ints, work: Ints, limit: int) -> tuple[Best, int]:
    state = np.flatnonzero(stands.any(axis=0)).astype(np.int32)
    stands = stands[:, state]
    seconds = np.where(stands, pricer.seconds(layout, work, state), np.inf).ravel()
    keep = _smallest(seconds, limit)
    pair, option = np.divmod(keep, max(len(state), 1))
    found = Best(seconds[keep], layout[pair], work[pair], state[option])
    return Best.empty().merge(found, limit), int(np.count_nonzero(stands))


def _smallest(seconds: Floats, limit: int) -> Ints:
    """Return the indices of at least the `limit` smallest finite values, all ties of the last included."""
    finite = np.isfinite(seconds)
    if np.count_nonzero(finite) > limit:
        bar = np.partition(seconds, limit - 1)[limit - 1]
        finite &= seconds <= bar
    return np.flatnonzero(finite).astype(np.int64)

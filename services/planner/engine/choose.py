"""Choosing the best k points of an admitted, feasible space: exact, with or without bounding."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.engine.cost.price import Pricer
    from planner.engine.types import Bools, Floats, Ints

_FIRST_PAIRS = 64
_CELLS_PER_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class Best:
    """Points, ascending by time, ties by layout, work and state index. Parallel arrays."""

    seconds: Floats
    layout: Ints
    work: Ints
    state: Ints

    def __len__(self) -> int:
        return len(self.seconds)

    def take(self, rows: Ints) -> Best:
        """Return the chosen rows."""
        return Best(self.seconds[rows], self.layout[rows], self.work[rows], self.state[rows])

    def joined(self, other: Best) -> Best:
        """Return the points of both, in no order."""
        return Best(
            np.concatenate([self.seconds, other.seconds]),
            np.concatenate([self.layout, other.layout]),
            np.concatenate([self.work, other.work]),
            np.concatenate([self.state, other.state]),
        )

    def merge(self, other: Best, limit: int) -> Best:
        """Return the best `limit` points of both."""
        both = self.joined(other)
        return both.take(np.lexsort((both.state, both.work, both.layout, both.seconds))[:limit])

    @classmethod
    def empty(cls) -> Best:
        """Return no points."""
        nothing = np.zeros(0, np.int32)
        return cls(np.zeros(0), nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class Points:
    """Points that stand: pairs of a layout and a work option, ascending, each with some of the state options.

    `stands(pairs, sharding)` says which: (offload shares, reduce overlaps, gather overlaps, pairs). `bounds` are lower
    bounds of each pair's time over all of them.
    """

    pricer: Pricer
    layout: Ints
    work: Ints
    bounds: Floats
    state_shape: tuple[int, ...]
    stands: Callable[[Ints, int], Bools]

    def best(self, pairs: Ints, bar: float, limit: int) -> tuple[Best, int]:
        """Return at least the `limit` best points of `pairs` no slower than `bar`, in no order, and how many stand."""
        found, priced = Best.empty(), 0
        for sharding in range(self.state_shape[0]):
            stands = self.stands(pairs, sharding)
            count = int(np.count_nonzero(stands))
            if not count:
                continue
            priced += count
            seconds = self.pricer.seconds(pairs, sharding)
            share, reduce, gather, pair = _smallest(seconds, stands, bar, limit)
            state = np.ravel_multi_index((np.full_like(share, sharding), share, reduce, gather), self.state_shape)
            one = Best(seconds[share, reduce, gather, pair], self.layout[pairs[pair]], self.work[pairs[pair]], state)
            found = found.joined(one)
        return found, priced

    def best_of_each(self, pairs: Ints) -> Best:
        """Return each of `pairs` with its best state option."""
        least, state = np.full(len(pairs), np.inf), np.zeros(len(pairs), np.int64)
        per_sharding = prod(self.state_shape[1:])
        for sharding in range(self.state_shape[0]):
            stands = self.stands(pairs, sharding)
            if not stands.any():
                continue
            seconds = np.where(stands, self.pricer.seconds(pairs, sharding), np.inf).reshape(per_sharding, -1)
            option = seconds.argmin(axis=0)
            of_option = seconds[option, np.arange(len(pairs))]
            better = of_option < least
            least, state = np.where(better, of_option, least), np.where(better, sharding * per_sharding + option, state)
        return Best(least, self.layout[pairs], self.work[pairs], state)


def choose(points: Points, best: Best, limit: int, *, exhaustive: bool) -> tuple[Best, int]:
    """Return `best` with the best of `points` merged in, at most `limit`, and how many were priced.

    Pairs are taken by ascending lower bound; once the bound passes the k-th best time no later pair can enter, so
    stopping there loses nothing (ties included: equal bounds are still priced).
    """
    bounds = points.bounds
    order = np.arange(len(bounds)) if exhaustive else np.argsort(bounds, kind="stable")
    priced, states = 0, prod(points.state_shape[1:])
    for block in _blocks(len(order), states):
        pairs, bar = order[block], best.seconds[-1] if len(best) >= limit else np.inf
        if not exhaustive:
            if bounds[pairs[0]] > bar:
                break
            pairs = pairs[bounds[pairs] <= bar]
        found, count = points.best(pairs, bar, limit)
        best, priced = best.merge(found, limit), priced + count
    return best, priced


def best_per_layout(points: Points) -> Best:
    """Return the best point of every layout, ascending by layout."""
    layout, bounds = points.layout, points.bounds
    leading = _leading(layout, np.lexsort((bounds, layout)))
    first = points.best_of_each(leading)
    bar = np.full(int(layout.max(initial=-1)) + 1, np.inf)
    bar[first.layout] = first.seconds
    found = points.best_of_each(np.flatnonzero(bounds <= bar[layout]))
    return found.take(_leading(found.layout, np.lexsort((found.state, found.work, found.seconds, found.layout))))


def _leading(layout: Ints, order: Ints) -> Ints:
    """Return the first row of each layout in `order`."""
    rows: Ints = order[np.flatnonzero(np.diff(layout[order], prepend=-1))]
    return rows


def _blocks(pairs: int, states: int) -> Iterator[slice]:
    """A small first block sets the bar; the others fill the cache."""
    start, size = 0, _FIRST_PAIRS
    while start < pairs:
        yield slice(start, min(start + size, pairs))
        start, size = start + size, max(_CELLS_PER_BLOCK // states, 1)


def _smallest(seconds: Floats, stands: Bools, bar: float, limit: int) -> tuple[Ints, ...]:
    """Return where at least the `limit` smallest standing values up to `bar` are, all ties of the last included."""
    kept = np.less_equal(seconds, bar)
    kept &= stands
    cells = np.flatnonzero(kept)
    if len(cells) > limit:
        near = seconds.ravel()[cells]
        cells = cells[near <= np.partition(near, limit - 1)[limit - 1]]
    return np.unravel_index(cells, kept.shape)

"""Which stages stand on which GPU type: compositions of the pipeline, and bounds on what each can reach."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.types import Floats, Ints


@lru_cache(maxsize=256)
def compositions(stages: int, limits: tuple[int, ...]) -> Ints:
    """Return every way to split `stages` over types within `limits`, shape (ways, types), in lexicographic order."""
    if len(limits) == 1:
        return np.full((int(stages <= limits[0]), 1), stages, np.int64)
    parts = []
    for first in range(min(stages, limits[0]) + 1):
        rest = compositions(stages - first, limits[1:])
        parts.append(np.concatenate([np.full((len(rest), 1), first), rest], axis=1))
    return np.concatenate(parts)


def relaxed_seconds(ways: Ints, slope: Floats, layers: int, micro_batches: int) -> Floats:
    """Return a lower bound of each composition's time, offsets and memory left out, shape (ways,).

    The slowest stage takes at least the least B with sum_k m_k floor(B / s_k) >= L; the sum is least with all layers
    on the fastest type that is there.
    """
    values = np.unique(slope[:, None] * np.arange(1, layers + 1))
    room = np.floor(values[:, None] / slope + 1e-9) @ ways.T.astype(np.float64)
    enough = room >= layers
    bottleneck = np.where(enough.any(axis=0), values[enough.argmax(axis=0)], np.inf)
    fastest = np.where(ways > 0, slope, np.inf).min(axis=1)
    each_holds_one = np.maximum(np.where(ways > 0, slope, 0.0).max(axis=1), bottleneck)
    least_sum = layers * fastest + (ways * (slope - fastest[:, None])).sum(axis=1)
    seconds: Floats = least_sum + (micro_batches - 1) * each_holds_one
    return seconds


def least_seconds(slopes: Floats, limits: Ints, stages: int, layers: int, micro_batches: int) -> Floats:
    """Return bounds over all compositions, shape (rows,): the fastest types up to their limits, layers in fractions.

    `slopes` has shape (rows, types).
    """
    order = np.argsort(slopes, axis=1, kind="stable")
    ascending = np.take_along_axis(slopes, order, axis=1)
    taken = np.diff(np.minimum(np.cumsum(limits[order], axis=1), stages), axis=1, prepend=0)
    rate = (taken / ascending).sum(axis=1)
    bounds: Floats = layers * ascending[:, 0] + (micro_batches - 1) * layers / rate
    return bounds


def orders(way: Ints) -> Iterator[tuple[int, ...]]:
    """Yield every order in which the runs of the types present can follow one another."""
    yield from permutations(int(kind) for kind in np.flatnonzero(way))

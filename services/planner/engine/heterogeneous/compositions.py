"""Which stages stand on which GPU type: compositions of the pipeline, and bounds on what each can reach."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.price import SAFE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.engine.types import Floats, Ints


_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Offsets:
    """The least that stages take beside their layers, on whatever types, shape (rows,).

    `each`: every stage per micro-batch. `ends`: all stages together, embedding and loss included.
    """

    each: Floats
    ends: Floats

    def take(self, rows: Ints | slice) -> Offsets:
        """Return the chosen rows."""
        return Offsets(self.each[rows], self.ends[rows])


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Pipelines without memory limits, for every bottleneck a stage can be, shape (rows, bottlenecks).

    `seconds`: sum of the stages and (K - 1) times the bottleneck, infinite where it is too short for all layers.
    `fullest`: layers that some stage holds at least.
    """

    seconds: Floats
    fullest: Ints


def relax(counts: Ints, slopes: Floats, layers: int, micro_batches: Ints, offsets: Offsets) -> Relaxed:
    """Relax pipelines of `counts` stages of each type, `counts` and `slopes` of shape (rows, types).

    For a bottleneck B a stage of type k has room for floor(B / s_k) layers; the sum is least with as many layers as
    possible on the fastest types. What slow types have no room for, the fastest one's stages must hold.
    """
    order = np.argsort(slopes, axis=1, kind="stable")
    counts, slopes = np.take_along_axis(counts, order, axis=1), np.take_along_axis(slopes, order, axis=1)
    bottlenecks = (slopes[:, :, None] * np.arange(1, layers + 1)).reshape(len(slopes), -1)
    left = np.broadcast_to((layers - counts.sum(axis=1) * 1.0)[:, None], bottlenecks.shape)
    seconds = (micro_batches - 1)[:, None] * (bottlenecks + offsets.each[:, None])
    seconds += ((counts * slopes).sum(axis=1) + offsets.ends)[:, None]
    held, feasible, leading = np.zeros_like(bottlenecks), np.ones(bottlenecks.shape, np.bool_), counts > 0
    leading &= np.cumsum(leading, axis=1) == 1
    for kind in range(counts.shape[1]):
        stages, slope = counts[:, kind, None], slopes[:, kind, None]
        room = np.minimum(np.floor(bottlenecks / slope + _ROUNDING), layers)
        feasible &= (room >= 1) | (stages == 0)
        taken = np.minimum(left, stages * np.maximum(room - 1, 0))
        seconds += taken * slope
        left = left - taken
        held += np.where(leading[:, kind, None], 0.0, stages * room)
    seconds[~feasible | (left > 0)] = np.inf
    most = (counts * leading).sum(axis=1)[:, None]
    fullest = np.maximum(np.ceil((layers - held) / most), np.ceil(layers / counts.sum(axis=1))[:, None])
    return Relaxed(seconds * SAFE, fullest.astype(np.int64))


def fastest_first(slopes: Floats, limits: Ints, stages: Ints) -> Ints:
    """Return the composition of each row that bounds all others, shape (rows, types).

    `slopes` and `limits` have shape (rows, types). Moving a stage with its layers to a faster type shortens the sum
    and lengthens no stage, so the fastest types are filled up to their limits.
    """
    order = np.argsort(slopes, axis=1, kind="stable")
    room = np.cumsum(np.take_along_axis(limits, order, axis=1), axis=1)
    counts = np.zeros_like(limits)
    np.put_along_axis(counts, order, np.diff(np.minimum(room, stages[:, None]), axis=1, prepend=0), axis=1)
    return counts


@dataclass(frozen=True, slots=True)
class Way:
    """A composition: stages of each type, shape (types,), and a lower bound of its seconds by layers of the fullest."""

    stages: Ints
    by_fullest: Floats

    @property
    def least(self) -> float:
        """The bound over all of them."""
        return float(self.by_fullest.min())


def ascending(
    first: Ints, slope: Floats, limits: Ints, relaxed: Callable[[Ints], Relaxed], layers: int
) -> Iterator[Way]:
    """Yield compositions within `limits` by ascending bound, from `first`, the least of all.

    Moving a stage to a slower type never lowers the bound, so that each composition waits until one it can be reached
    from by one move has had its turn; those past what a caller asks for are never looked at.
    """
    waiting: list[tuple[float, tuple[int, ...], Way]] = []
    seen: set[tuple[int, ...]] = set()

    def push(ways: list[Ints]) -> None:
        fresh = [way for way in ways if tuple(way.tolist()) not in seen]
        if not fresh:
            return
        seen.update(tuple(way.tolist()) for way in fresh)
        found = relaxed(np.stack(fresh))
        for way, seconds, fullest in zip(fresh, found.seconds, found.fullest, strict=True):
            by_fullest = np.full(layers, np.inf)
            np.minimum.at(by_fullest, np.minimum(fullest, layers) - 1, seconds)
            one = Way(way, by_fullest)
            heappush(waiting, (one.least, tuple(way.tolist()), one))

    push([first])
    while waiting:
        _, _, way = heappop(waiting)
        yield way
        push(list(_slower(way.stages, slope, limits)))


def _slower(way: Ints, slope: Floats, limits: Ints) -> Iterator[Ints]:
    """Yield the compositions one move of a stage to a slower type away; of equally fast types the later is slower."""
    order = np.argsort(slope, kind="stable").tolist()
    for position, source in enumerate(order):
        for target in order[position + 1 :]:
            if way[source] > 0 and way[target] < limits[target]:
                moved = way.copy()
                moved[source] -= 1
                moved[target] += 1
                yield moved


def orders(way: Ints) -> Iterator[tuple[int, ...]]:
    """Yield every order in which the runs of the types present can follow one another."""
    yield from permutations(int(kind) for kind in np.flatnonzero(way))

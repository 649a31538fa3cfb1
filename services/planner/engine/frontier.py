"""Search over counts of several GPU types: the exact Pareto set of training time and money.

Every layout of every type has a lower bound of its time, hence of its money. Layouts are priced in rounds, the most
promising of each type and count first; whatever a priced point already dominates by its bounds can never be on the
front and is never priced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.choose import Best
from planner.engine.chunk import Chunk
from planner.engine.cost.bounds import layout_bounds
from planner.engine.pareto import pareto, undominated
from planner.engine.patience import EXACT, Patience
from planner.engine.progress import Progress, silent
from planner.engine.rules import BUILTIN_RULES, Admission, Rule, admit
from planner.engine.rules.fields import Grid
from planner.engine.space import WHOLE, Share, enumerate_any_count, layout_axes, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.inputs import SearchOptions
    from planner.engine.problem import Problem
    from planner.engine.types import Bools, Floats, Ints

_WHOLE_NODES = Rule(
    "nodes",
    "gpus <= gpus_per_node or gpus % gpus_per_node == 0",
    "past one node, GPUs come in whole nodes",
)
_LAYOUTS_PER_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A GPU type at a price: the problem with the most GPUs there may be, and US dollars per GPU-second."""

    problem: Problem
    dollars_per_gpu_second: float


@dataclass(frozen=True, slots=True)
class Front:
    """The Pareto set, ascending by iteration time.

    Parallel arrays; `offer` and `layout` index offers and their admissions. `left` bounds what was not priced: pairs of
    seconds and dollars, none of which another equals or beats in both.
    """

    seconds: Floats
    dollars: Floats
    offer: Ints
    layout: Ints
    work: Ints
    state: Ints
    left: list[tuple[float, float]]
    admissions: tuple[Admission, ...]
    enumerated: int
    evaluated: int

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(slots=True)
class _Round:
    """Everything known so far, columns over all layouts of all offers."""

    offer: Ints
    layout: Ints
    gpus: Ints
    rate: Floats
    bound: Floats
    waiting: Bools
    points: list[tuple[Floats, Floats, Ints, Best]]
    left: list[tuple[Floats, Floats]]


def find_front(
    offers: Sequence[Offer],
    search: SearchOptions,
    rules: Sequence[Rule],
    progress: Progress = silent,
    *,
    share: Share = WHOLE,
    patience: Patience = EXACT,
) -> Front:
    """Return the Pareto set of (iteration seconds, dollars per iteration) over all offers and counts.

    Exactly, unless patience ends; of `share` of every offer's layouts.
    """
    every_rule = [*BUILTIN_RULES, _WHOLE_NODES, *rules]
    admissions, enumerated = _admit(offers, search, every_rule, progress, share)
    state = _start(offers, admissions)
    total, per_count = len(state.bound), 1
    while state.waiting.any() and not (patience.is_over and any(len(point[0]) for point in state.points)):
        progress("price", total - int(np.count_nonzero(state.waiting)), total, "layouts")
        chosen = _most_promising(state, per_count)
        chosen = _refined(offers, admissions, state, chosen)
        state.waiting[chosen] = False
        _price(offers, admissions, state, chosen)
        _exclude(state, patience)
        per_count *= 8
    progress("price", total, total, "layouts")
    return _finish(state, admissions, enumerated)


def _exclude(state: _Round, patience: Patience) -> None:
    """Wait no longer for what the front beats, nor for what it comes near enough to; remember the latter's bounds."""
    front_time, front_money = _front(state)
    money = state.bound * state.rate
    state.waiting &= undominated(state.bound, money, front_time, front_money)
    if not patience.gap:
        return
    far = undominated(state.bound, money, *(patience.bar(1.0) * column for column in (front_time, front_money)))
    near = state.waiting & ~far
    state.left.append((state.bound[near], money[near]))
    state.waiting &= far


def _admit(
    offers: Sequence[Offer], search: SearchOptions, rules: Sequence[Rule], progress: Progress, share: Share
) -> tuple[tuple[Admission, ...], int]:
    """Admit layouts once per kind of node: rules see nothing else of a GPU."""
    known: dict[tuple[object, ...], tuple[Admission, int]] = {}
    admissions, enumerated = [], 0
    for position, offer in enumerate(offers):
        progress("rules", position, len(offers), "gpu types")
        problem = offer.problem
        device = problem.device
        kind = (device.gpus_per_node, device.domain, problem.flash_attention, problem.precision)
        if kind not in known:
            axes, options = layout_axes(problem, search.space, any_count=True), options_of(problem, search.space)
            layouts = share.of(enumerate_any_count(problem, axes, problem.gpus))
            known[kind] = admit(Grid(problem, layouts, options), rules), len(layouts) * len(options)
        admission, size = known[kind]
        admissions.append(replace(admission, grid=replace(admission.grid, problem=problem)))
        enumerated += size
    return tuple(admissions), enumerated


def _start(offers: Sequence[Offer], admissions: Sequence[Admission]) -> _Round:
    sizes = [len(admission.grid.layouts) for admission in admissions]
    bounds = [
        layout_bounds(offer.problem, admission.grid.layouts, admission.grid.options)
        for offer, admission in zip(offers, admissions, strict=True)
    ]
    gpus = np.concatenate([admission.grid.layouts.gpus for admission in admissions])
    offer_of = np.repeat(np.arange(len(offers)), sizes)
    price = np.array([offer.dollars_per_gpu_second for offer in offers])
    return _Round(
        offer=offer_of,
        layout=np.concatenate([np.arange(size) for size in sizes]),
        gpus=gpus,
        rate=price[offer_of] * gpus,
        bound=np.concatenate(bounds),
        waiting=np.ones(len(gpus), np.bool_),
        points=[],
        left=[],
    )


def _most_promising(state: _Round, per_count: int) -> Ints:
    """Return the `per_count` waiting layouts of least bound of each type and count that could still make the front."""
    rows = np.flatnonzero(state.waiting)
    order = rows[np.lexsort((rows, state.bound[rows], state.gpus[rows], state.offer[rows]))]
    fresh = np.flatnonzero(np.diff(state.gpus[order], prepend=-1) | np.diff(state.offer[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(fresh, np.diff(np.append(fresh, len(order))))
    return order[rank < per_count]


def _refined(offers: Sequence[Offer], admissions: Sequence[Admission], state: _Round, chosen: Ints) -> Ints:
    """Raise the bounds of `chosen` to what fits beside them and drop those that the front now dominates."""
    for position, rows in _runs(state, chosen, len(offers)):
        state.bound[rows] = Chunk(offers[position].problem, admissions[position], state.layout[rows]).bounds()
    alive = undominated(state.bound[chosen], (state.bound * state.rate)[chosen], *_front(state))
    alive &= np.isfinite(state.bound[chosen])
    state.waiting[chosen[~alive]] = False
    return chosen[alive]


def _runs(state: _Round, chosen: Ints, offers: int) -> Iterator[tuple[int, Ints]]:
    """Yield each offer with runs of its rows among `chosen`, ascending."""
    chosen = np.sort(chosen)
    for position in range(offers):
        rows = chosen[state.offer[chosen] == position]
        for start in range(0, len(rows), _LAYOUTS_PER_CHUNK):
            yield position, rows[start : start + _LAYOUTS_PER_CHUNK]


def _price(offers: Sequence[Offer], admissions: Sequence[Admission], state: _Round, chosen: Ints) -> None:
    for position, rows in _runs(state, chosen, len(offers)):
        best = Chunk(offers[position].problem, admissions[position], state.layout[rows]).best_each()
        gpus = admissions[position].grid.layouts.gpus[best.layout]
        dollars = best.seconds * gpus * offers[position].dollars_per_gpu_second
        state.points.append((best.seconds, dollars, np.full(len(best), position), best))


def _front(state: _Round) -> tuple[Floats, Floats]:
    if not state.points:
        return np.zeros(0), np.zeros(0)
    seconds, dollars = (np.concatenate([point[column] for point in state.points]) for column in (0, 1))
    kept = pareto(seconds, dollars)
    return seconds[kept], dollars[kept]


def _finish(state: _Round, admissions: tuple[Admission, ...], enumerated: int) -> Front:
    points = state.points
    empty = np.zeros(0, np.int64)
    seconds, dollars = (np.concatenate([np.zeros(0), *(point[c] for point in points)]) for c in (0, 1))
    offer = np.concatenate([empty, *(point[2] for point in points)])
    layout, work, option = (
        np.concatenate([empty, *(getattr(point[3], name) for point in points)]) for name in ("layout", "work", "state")
    )
    order = np.lexsort((option, work, layout, offer))
    kept = order[pareto(seconds[order], dollars[order])]
    return Front(
        left=_left(state),
        seconds=seconds[kept],
        dollars=dollars[kept],
        offer=offer[kept],
        layout=layout[kept],
        work=work[kept],
        state=option[kept],
        admissions=admissions,
        enumerated=enumerated,
        evaluated=len(seconds),
    )


def _left(state: _Round) -> list[tuple[float, float]]:
    """Return the least bounds of what was never priced and is not beaten."""
    waiting = (state.bound[state.waiting], (state.bound * state.rate)[state.waiting])
    seconds, dollars = (np.concatenate([one[column] for one in [waiting, *state.left]]) for column in (0, 1))
    least = pareto(seconds, dollars)
    return list(zip(seconds[least].tolist(), dollars[least].tolist(), strict=True))

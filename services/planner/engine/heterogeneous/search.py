"""Best-first search over common strategies, compositions and orders, each assigned exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.heterogeneous.assign import Stages, assign
from planner.engine.heterogeneous.compositions import Relaxed, Way, ascending, fastest_first, orders, relax
from planner.engine.heterogeneous.pricing import Common, Pricing
from planner.engine.heterogeneous.tables import Pool, even_shapes
from planner.engine.patience import EXACT, Patience
from planner.engine.progress import Progress, silent
from planner.engine.rules import BUILTIN_RULES, Admission, Rule, admit
from planner.engine.rules.fields import AXES, Grid
from planner.engine.space import WHOLE, Options, Share, layout_axes, options_of
from planner.engine.space.layouts import enumerate_layouts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.inputs import SearchOptions, Space
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts
    from planner.engine.types import Bools, Floats, Ints

_REPORTED_EVERY = 64
_ROWS_PER_BLOCK = 256
_RULES = (
    Rule("tensor_in_node", "tensor_parallel <= gpus_per_node", "tensor parallel stays within a node of every type"),
    Rule("stages", "pipeline_parallel >= 2", "unlike GPUs meet in a pipeline of at least two stages"),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """One plan: the common strategy, the type and layers of every stage, and the seconds of a step."""

    seconds: float
    common: Common
    kinds: Ints
    layers: Ints


@dataclass(frozen=True, slots=True)
class Mixes:
    """The best plans, ascending, and the counts of the search.

    `left` is a lower bound of what was not looked at, infinite when everything was.
    """

    best: list[Mix]
    left: float
    pricing: Pricing
    admission: Admission
    enumerated: int
    evaluated: int
    assigned_somewhere: bool

    @property
    def dimensions(self) -> dict[str, int]:
        """Values per option dimension."""
        return dict(zip(Options.__slots__, self.admission.grid.options.shape, strict=True))


def find_mix(
    pools: Sequence[Pool],
    search: SearchOptions,
    rules: Sequence[Rule],
    progress: Progress = silent,
    *,
    share: Share = WHOLE,
    patience: Patience = EXACT,
) -> Mixes:
    """Return the `search.top_k` best plans on the problem's GPUs drawn from `pools`: exactly, unless patience ends.

    Each common strategy and composition once; of `share` of the common layouts.
    """
    strictest = min(pools, key=lambda pool: pool.problem.device.gpus_per_node).problem
    layouts, options, enumerated = _space(strictest, search.space, share)
    admission = admit(Grid(strictest, layouts, options), [*BUILTIN_RULES, *_RULES, *rules])
    layouts = admission.grid.layouts
    pricing = Pricing(pools, layouts, options)
    standing = Standing.of(admission)
    candidates = _by_bound(pricing, standing)
    best: list[Mix] = []
    left, evaluated = np.inf, 0
    for done, (bound, layout, work) in enumerate(candidates):
        bar = patience.bar(_bar(best, search.top_k))
        if bound > bar or (best and patience.is_over):
            left = bound
            break
        if done % _REPORTED_EVERY == 0:
            progress("assign", done, len(candidates), "strategies")
        evaluated += _extend(pricing, layout, work, standing.states(layout, work), best, search.top_k)
    progress("assign", len(candidates), len(candidates), "strategies")
    return Mixes(best, left, pricing, admission, enumerated, evaluated, bool(candidates))


def _space(problem: Problem, space: Space, share: Share) -> tuple[Layouts, Options, int]:
    """The homogeneous space on 1F1B pipelines whose layers are not dealt yet, without what is not linear in layers."""
    axes = layout_axes(problem, space)
    stages = np.unique(axes.pipelines.stages)
    axes = replace(axes, pipelines=even_shapes(problem.architecture.layers, stages))
    options = options_of(problem, space)
    whole = tuple(setting for setting in options.recomputes if setting.method != "block")
    only_false = np.zeros(1, np.bool_)
    options = replace(options, recomputes=whole, activation_offload=only_false, p2p_overlap=only_false)
    layouts = share.of(enumerate_layouts(problem, axes))
    return layouts, options, len(layouts) * len(options)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands: `points` (kinds of layouts, work options, state options), and every layout's kind."""

    points: Bools
    kind: Ints
    overlaps: int

    @classmethod
    def of(cls, admission: Admission) -> Standing:
        """Return what `admission` left, option axes flattened."""
        mask, kind = admission.kinds(range(1, AXES))
        options = admission.grid.options
        whole = np.broadcast_to(mask, (len(mask), *options.shape))
        points = whole.reshape(len(mask), int(np.prod(options.work_shape)), -1)
        return cls(points, kind, int(np.prod(options.state_shape[2:])))

    def states(self, layout: int, work: int) -> Ints:
        """Return the state options that stand; of data-parallel overlaps only the fullest, which is never slower."""
        each = self.points[self.kind[layout], work].reshape(-1, self.overlaps)
        fullest = self.overlaps - 1 - np.argmax(each[:, ::-1], axis=1)
        rows = np.flatnonzero(each.any(axis=1))
        states: Ints = rows * self.overlaps + fullest[rows]
        return states


def _by_bound(pricing: Pricing, standing: Standing) -> list[tuple[float, int, int]]:
    """Return (bound, layout, work) of every pair whose stages the limits can fill, ascending."""
    layouts, limits = pricing.layouts, pricing.limits
    possible = (limits.sum(axis=1) >= layouts.pipeline) & (layouts.pipeline <= pricing.layer_count)
    layout, work = np.nonzero(np.asarray(standing.points.any(axis=2))[standing.kind] & possible[:, None])
    bounds = np.concatenate(
        [
            _least_seconds(pricing, layout[at : at + _ROWS_PER_BLOCK], work[at : at + _ROWS_PER_BLOCK])
            for at in range(0, len(layout), _ROWS_PER_BLOCK)
        ]
        or [np.zeros(0)]
    )
    return sorted(zip(bounds.tolist(), layout.tolist(), work.tolist(), strict=True))


def _least_seconds(pricing: Pricing, layout: Ints, work: Ints) -> Floats:
    """Return lower bounds over all compositions of each pair, what is done once per step left out."""
    slopes = np.stack([tables.layer[layout, work] for tables in pricing.tables], axis=1)
    counts = fastest_first(slopes, pricing.limits[layout], pricing.layouts.pipeline[layout])
    micro_batches, offsets = pricing.layouts.micro_batches[layout], pricing.offsets_at_least.take(layout)
    least: Floats = relax(counts, slopes, pricing.layer_count, micro_batches, offsets).seconds.min(axis=1)
    return least


def _extend(pricing: Pricing, layout: int, work: int, states: Ints, best: list[Mix], limit: int) -> int:
    """Merge the best assignment of every composition of the pair with each of `states` into `best`.

    Returns how many were assigned.
    """
    states = states[pricing.may_fit(layout, work, states)]
    if not len(states):
        return 0
    once, evaluated = pricing.least_once(layout, work)[states], 0
    for way in _ways(pricing, layout, work):
        if way.least + once[:, 0].min() > _bar(best, limit):
            break
        bounds = (way.by_fullest + once).min(axis=1)
        for row in np.argsort(bounds, kind="stable"):
            bar = _bar(best, limit)
            if bounds[row] > bar:
                break
            evaluated += 1
            common = Common(layout, work, int(states[row]))
            found = _best_order(pricing, common, way.stages, np.nextafter(bar, np.inf))
            if found is not None:
                best.append(found)
                best.sort(key=_rank)
                del best[limit:]
    return evaluated


def _bar(best: list[Mix], limit: int) -> float:
    """Return the seconds of the last of the best, infinite while there are fewer than wanted."""
    return best[-1].seconds if len(best) >= limit else np.inf


def _ways(pricing: Pricing, layout: int, work: int) -> Iterator[Way]:
    """Yield the pair's compositions by ascending bound."""
    slope, limits, row = pricing.slopes(Common(layout, work, 0)), pricing.limits[layout], slice(layout, layout + 1)
    stages, micro_batches = pricing.layouts.pipeline[row], pricing.layouts.micro_batches[row]
    offsets, layers = pricing.offsets_at_least.take(row), pricing.layer_count

    def relaxed(ways: Ints) -> Relaxed:
        return relax(ways, np.broadcast_to(slope, ways.shape), layers, micro_batches, offsets)

    first = fastest_first(slope[None], limits[None], stages)[0]
    return ascending(first, slope, limits, relaxed, layers)


def _rank(mix: Mix) -> tuple[object, ...]:
    """A total order, so that what is kept of equals does not depend on what was looked at first."""
    common = mix.common
    return mix.seconds, common.layout, common.work, common.state, tuple(np.bincount(mix.kinds).tolist())


def _best_order(pricing: Pricing, common: Common, way: Ints, bar: float) -> Mix | None:
    best: Mix | None = None
    for order in orders(way):
        kinds = np.repeat(order, way[list(order)])
        stages: Stages = pricing.pipeline(common, kinds)
        found = assign(stages, pricing.layer_count, pricing.micro_batches(common), best.seconds if best else bar)
        if found is not None:
            best = Mix(found.seconds, common, kinds, found.layers)
    return best

"""Best-first search over common strategies, compositions and orders, each assigned exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.heterogeneous.assign import Stages, assign
from planner.engine.heterogeneous.compositions import compositions, least_seconds, orders, relaxed_seconds
from planner.engine.heterogeneous.pricing import Common, Pricing
from planner.engine.heterogeneous.tables import Pool, even_shapes
from planner.engine.patience import EXACT, Patience
from planner.engine.progress import Progress, silent
from planner.engine.rules import BUILTIN_RULES, Admission, Rule, admit
from planner.engine.rules.fields import AXES, Grid
from planner.engine.space import WHOLE, Options, Share, layout_axes, options_of
from planner.engine.space.layouts import enumerate_layouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.inputs import SearchOptions, Space
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts
    from planner.engine.types import Bools, Ints

_REPORTED_EVERY = 64
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
        bar = patience.bar(best[-1].seconds) if len(best) >= search.top_k else np.inf
        if bound > bar or (best and patience.is_over):
            left = bound
            break
        if done % _REPORTED_EVERY == 0:
            progress("assign", done, len(candidates), "strategies")
        for state in standing.states(layout, work):
            evaluated += _extend(pricing, Common(layout, work, state), bound, best, search.top_k)
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

    def states(self, layout: int, work: int) -> list[int]:
        """Return the state options that stand; of data-parallel overlaps only the fullest, which is never slower."""
        each = self.points[self.kind[layout], work].reshape(-1, self.overlaps)
        fullest = self.overlaps - 1 - np.argmax(each[:, ::-1], axis=1)
        return [row * self.overlaps + int(fullest[row]) for row in np.flatnonzero(each.any(axis=1)).tolist()]


def _by_bound(pricing: Pricing, standing: Standing) -> list[tuple[float, int, int]]:
    """Return (bound, layout, work) of every pair whose stages the limits can fill, ascending."""
    pairs = np.asarray(standing.points.any(axis=2))[standing.kind]
    bounded: list[tuple[float, int, int]] = []
    for layout in range(len(pairs)):
        common = Common(layout, 0, 0)
        limits, count = pricing.stage_limits(common), pricing.stages(common)
        if limits.sum() < count or count > pricing.layer_count:
            continue
        works = np.flatnonzero(pairs[layout])
        slopes = np.stack([tables.layer[layout, works] for tables in pricing.tables], axis=1)
        bounds = least_seconds(slopes, limits, count, pricing.layer_count, pricing.micro_batches(common))
        bounded += zip(bounds.tolist(), [layout] * len(works), works.tolist(), strict=True)
    return sorted(bounded)


def _extend(pricing: Pricing, common: Common, bound: float, best: list[Mix], limit: int) -> int:
    """Merge the best assignment of every composition of `common` into `best`; return how many were assigned."""
    slope, count = pricing.slopes(common), pricing.stages(common)
    once = pricing.least_once(common)
    if (len(best) >= limit and bound + once > best[-1].seconds) or not pricing.may_fit(common):
        return 0
    ways = compositions(count, tuple(pricing.stage_limits(common).tolist()))
    bounds = relaxed_seconds(ways, slope, pricing.layer_count, pricing.micro_batches(common)) + once
    evaluated = 0
    for way in np.argsort(bounds, kind="stable"):
        bar = best[-1].seconds if len(best) >= limit else np.inf
        if bounds[way] > bar:
            break
        evaluated += 1
        found = _best_order(pricing, common, ways[way], np.nextafter(bar, np.inf))
        if found is not None:
            best.append(found)
            best.sort(key=_rank)
            del best[limit:]
    return evaluated


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

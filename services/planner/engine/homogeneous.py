"""Search over one GPU type in a given number: pool, space, rules, memory, cost, choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.choose import Best
from planner.engine.chunk import Chunk
from planner.engine.cost.bounds import layout_bounds, step_floor
from planner.engine.counting import count_fitting
from planner.engine.patience import EXACT, Patience
from planner.engine.progress import Progress, silent
from planner.engine.rules import BUILTIN_RULES, admit
from planner.engine.rules.fields import Grid
from planner.engine.space import WHOLE, Axes, Layouts, Options, Share, enumerate_layouts, layout_axes, options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.counting import Count
    from planner.engine.inputs import SearchOptions
    from planner.engine.problem import Problem
    from planner.engine.rules import Admission, Rule

_FIRST_RUN = 16
_LARGEST_RUN = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """The best points of one problem and the counts of every stage.

    `left` is a lower bound of what was not priced, infinite when everything was.
    """

    problem: Problem
    layouts: Layouts
    options: Options
    axes: Axes
    best: Best
    left: float
    enumerated: int
    after_rules: int
    after_memory: int
    evaluated: int
    least_over: float | None
    dropped: dict[str, int]

    @property
    def dimensions(self) -> dict[str, int]:
        """Values per dimension; their product is `enumerated`."""
        axes = self.axes
        layout = {
            "tensor_parallel": len(axes.tensor),
            "context_parallel": len(axes.context),
            "expert_parallel": len(axes.expert),
            "expert_tensor_parallel": len(axes.expert_tensor),
            "micro_batch_size": len(axes.micro_batch),
            "pipeline": len(axes.pipelines),
        }
        return layout | dict(zip(Options.__slots__, self.options.shape, strict=True))


def find(
    problem: Problem,
    search: SearchOptions,
    rules: Sequence[Rule],
    progress: Progress = silent,
    *,
    share: Share = WHOLE,
    patience: Patience = EXACT,
) -> Found:
    """Return the best `search.top_k` strategies in a share of `problem`'s space: exactly, unless patience ends."""
    axes = layout_axes(problem, search.space)
    options = options_of(problem, search.space)
    progress("space", 0, axes.size, "layouts")
    layouts = share.of(enumerate_layouts(problem, axes))
    enumerated = len(layouts) * len(options)
    admission = admit(Grid(problem, layouts, options), [*BUILTIN_RULES, *rules])
    kept = admission.grid.layouts
    progress("rules", axes.size, axes.size, "layouts")
    count = count_fitting(problem, admission)
    progress("memory", len(kept), len(kept), "layouts")
    best, left, evaluated = _cheapest(problem, admission, count, search, progress, patience)
    progress("price", len(kept), len(kept), "layouts")
    return Found(
        problem=problem,
        layouts=kept,
        options=options,
        axes=axes,
        best=best,
        left=left,
        enumerated=enumerated,
        after_rules=admission.admitted,
        after_memory=count.points,
        evaluated=evaluated,
        least_over=count.least_over,
        dropped=admission.dropped,
    )


def _cheapest(
    problem: Problem,
    admission: Admission,
    count: Count,
    search: SearchOptions,
    progress: Progress,
    patience: Patience,
) -> tuple[Best, float, int]:
    """Take the layouts with room by ascending lower bound, in growing runs, until the bound passes the k-th best time.

    The first run sets the bar; what it leaves standing is bounded again with the step's floor before it is priced.
    Returns the best, the least bound among what was left out, and how many were priced.
    """
    roomy = np.flatnonzero(count.has_room)
    if not len(roomy):
        return Best.empty(), np.inf, 0
    options, layouts = admission.grid.options, admission.grid.layouts.take(roomy)
    bounds = layout_bounds(problem, layouts, options)
    exhaustive = search.method == "exhaustive"
    order = np.arange(len(bounds)) if exhaustive else np.argsort(bounds, kind="stable")
    best, left, evaluated = Best.empty(), np.inf, 0
    position, size = 0, _LARGEST_RUN if exhaustive else _FIRST_RUN
    while position < len(order):
        progress("price", position, len(order), "layouts")
        rows = order[position : position + size]
        bar = patience.bar(best.seconds[-1]) if len(best) >= search.top_k else np.inf
        bounded = not exhaustive and np.isfinite(bar)
        if (bounded and bounds[rows[0]] > bar) or (len(best) and patience.is_over):
            left = min(left, float(bounds[order[position:]].min()))
            break
        if bounded:
            tighter = bounds[rows]
            near = tighter <= bar
            tighter[near] += step_floor(problem, layouts.take(rows[near]), options)
            left = min(left, float(tighter.min(where=tighter > bar, initial=np.inf)))
            rows = rows[tighter <= bar]
        if len(rows):
            best, priced = Chunk(problem, admission, roomy[rows], count.enough).choose(best, search)
            evaluated += priced
        position, size = position + size, min(2 * size, _LARGEST_RUN)
    return best, left, evaluated

"""Search over one GPU type in a given number: pool, space, rules, memory, cost, choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.choose import Best
from planner.engine.chunk import Chunk
from planner.engine.progress import Progress, silent
from planner.engine.rules import BUILTIN_RULES, admit
from planner.engine.rules.fields import Grid
from planner.engine.space import Axes, Layouts, Options, enumerate_layouts, layout_axes, options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.inputs import SearchOptions
    from planner.engine.problem import Problem
    from planner.engine.rules import Rule

_LAYOUTS_PER_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Found:
    """The best points of one problem and the counts of every stage."""

    problem: Problem
    layouts: Layouts
    options: Options
    axes: Axes
    best: Best
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


def find(problem: Problem, search: SearchOptions, rules: Sequence[Rule], progress: Progress = silent) -> Found:
    """Return the best `search.top_k` strategies of `problem`, exactly."""
    axes = layout_axes(problem, search.space)
    options = options_of(problem, search.space)
    progress("space", 0, axes.size, "layouts")
    layouts = enumerate_layouts(problem, axes)
    admission = admit(Grid(problem, layouts, options), [*BUILTIN_RULES, *rules])
    kept = admission.grid.layouts
    progress("rules", axes.size, axes.size, "layouts")
    best, after_memory, evaluated, least_over = Best.empty(), 0, 0, np.inf
    for start in range(0, len(kept), _LAYOUTS_PER_CHUNK):
        progress("price", start, len(kept), "layouts")
        chunk = Chunk(problem, admission, slice(start, start + _LAYOUTS_PER_CHUNK))
        standing = chunk.count()
        if standing:
            best, priced = chunk.choose(best, search, start)
            evaluated += priced
        elif not after_memory:
            least_over = min(least_over, chunk.least_over())
        after_memory += standing
    progress("price", len(kept), len(kept), "layouts")
    return Found(
        problem=problem,
        layouts=kept,
        options=options,
        axes=axes,
        best=best,
        enumerated=axes.size * len(options),
        after_rules=admission.admitted,
        after_memory=after_memory,
        evaluated=evaluated,
        least_over=float(least_over) if np.isfinite(least_over) and not after_memory else None,
        dropped=admission.dropped,
    )

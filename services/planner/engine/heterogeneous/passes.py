"""The passes of a mixed plan's stages, for drawing its schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.heterogeneous.pricing import Common, Pricing
from planner.engine.heterogeneous.tables import even_shapes
from planner.engine.schedule import StageSeconds
from planner.engine.space.codec import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.heterogeneous.tables import Pool
    from planner.engine.inputs import Strategy

_ONLY = Common(0, 0, 0)


def stage_passes(
    pools: Sequence[Pool], strategy: Strategy, kinds: Sequence[int], layers: Sequence[int]
) -> tuple[list[StageSeconds], list[float]]:
    """Return each stage's seconds per micro-batch, and those of one transfer to the next stage (one fewer).

    Stage i holds `layers[i]` layers on the type `pools[kinds[i]]`. The ends' lookup counts as forward, the loss as
    backward: their passes are not told apart.
    """
    problem = pools[0].problem
    anyhow = strategy.model_copy(update={"pipeline_split": "layout"})
    layouts, options = encode(problem, anyhow)
    shape = even_shapes(problem.architecture.layers, layouts.pipeline)
    ends = {"first_layers": shape.first_layers, "middle_layers": shape.middle_layers, "last_layers": shape.last_layers}
    pricing = Pricing(pools, replace(layouts, **ends), options)
    kind = np.asarray(kinds)
    hops = pricing.hops(_ONLY, kind)[:-1] / 2
    stages = [
        StageSeconds(
            forward=count * float(pricing.tables[on].forward[0, 0]),
            backward=count * float(pricing.tables[on].backward[0, 0]),
            weight=0.0,
        )
        for on, count in zip(kinds, layers, strict=True)
    ]
    first, last = pricing.tables[kinds[0]].first[0], pricing.tables[kinds[-1]].last[0]
    stages[0] = replace(stages[0], forward=stages[0].forward + float(first))
    stages[-1] = replace(stages[-1], backward=stages[-1].backward + float(last))
    return stages, hops.tolist()

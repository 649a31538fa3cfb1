"""The space of strategies, factored so that it is never written out.

A strategy is a layout with one value of every option dimension. *Layouts* place ranks (parallel degrees, micro-batch,
pipeline shape). *Work options* change what a stage computes, sends and keeps per micro-batch: sequence parallel,
recompute, activation offload, overlaps of tensor, point-to-point and context traffic. *State options* change where
weights, gradients and optimizer state live and when data-parallel traffic runs. Memory and time are sums over the
factors, so pricing a point is a few additions.
"""

from planner.engine.space.layouts import Axes, Layouts, enumerate_any_count, enumerate_layouts, layout_axes
from planner.engine.space.options import WORK_AXES, Options, Recompute, options_of
from planner.engine.space.pairs import Pairs
from planner.engine.space.share import WHOLE, Share

__all__ = [
    "WHOLE",
    "WORK_AXES",
    "Axes",
    "Layouts",
    "Options",
    "Pairs",
    "Recompute",
    "Share",
    "enumerate_any_count",
    "enumerate_layouts",
    "layout_axes",
    "options_of",
]

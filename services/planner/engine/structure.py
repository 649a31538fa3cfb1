"""Questions no search can answer: GPUs that no combination of degrees can use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.engine.errors import InvalidRequest
from planner.engine.inputs import Space
from planner.engine.rules import BUILTIN_RULES
from planner.engine.rules.fields import LAYOUT_AXIS, Grid
from planner.engine.space import enumerate_layouts, layout_axes, options_of

if TYPE_CHECKING:
    from planner.engine.problem import Problem

_NEIGHBOURS = 64
_PROBE = Space(
    micro_batch_size=[1], expert_tensor_parallel=[1], expert_parallel=[1], schedule=["1f1b"], virtual_pipeline=[1]
)


def require_possible(problem: Problem, *, field: str = "cluster.count") -> None:
    """Raise InvalidRequest at `cluster.count` when no layout of the default space uses the GPUs.

    The remedy names counts that do.
    """
    if is_possible(problem):
        return
    near = [count for count in nearby(problem.gpus) if is_possible(replace(problem, gpus=count))]
    remedy = (
        f"use {' or '.join(str(count) for count in sorted(near[:2]))} GPUs" if near else "change the count or the batch"
    )
    raise InvalidRequest(
        field,
        problem.gpus,
        f"cannot be split into tensor x context x pipeline x data degrees for {problem.architecture.heads} heads, "
        f"{problem.architecture.layers} layers and a batch of {problem.batch}",
        remedy,
    )


def nearby(count: int) -> list[int]:
    """Return counts around `count`, nearest first."""
    return [other for step in range(1, _NEIGHBOURS) for other in (count - step, count + step) if other >= 1]


def is_possible(problem: Problem) -> bool:
    """Return whether some layout of the default space uses all the GPUs."""
    if problem.batch % problem.gpus == 0:
        return True  # data parallelism alone does
    layouts = enumerate_layouts(problem, layout_axes(problem, _PROBE))
    grid = Grid(problem, layouts, options_of(problem, _PROBE))
    for rule in BUILTIN_RULES:
        if rule.compiled.axes <= {LAYOUT_AXIS}:
            passes = rule.compiled.evaluate(grid).ravel()
            grid = Grid(
                problem, grid.layouts.take(passes if len(passes) == len(grid.layouts) else slice(None)), grid.options
            )
    return len(grid.layouts) > 0

"""Why a strategy, or a whole search, is infeasible, and what would change that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.catalog import GIB
from planner.engine.outputs import Memory, Reason
from planner.engine.rules import BUILTIN_RULES
from planner.engine.rules.fields import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.engine.inputs import Strategy
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options


def rule_reasons(problem: Problem, layouts: Layouts, options: Options) -> list[Reason]:
    """Return a reason for every built-in rule that the one point breaks."""
    grid = Grid(problem, layouts, options)
    broken = [rule for rule in BUILTIN_RULES if not rule.compiled.evaluate(grid).all()]
    return [Reason(rule=rule.id, message=rule.reason, remedy=f"satisfy: {rule.expression}") for rule in broken]


def memory_reasons(problem: Problem, strategy: Strategy, memory: Memory) -> list[Reason]:
    """Return the reason that memory is short, with the change that frees most of what is missing."""
    fullest = max(memory.stages, key=lambda stage: stage.peak)
    over = fullest.peak - memory.capacity
    if over <= 0:
        return []
    message = (
        f"stage {fullest.stage} needs {fullest.peak / GIB:.1f} GiB, {over / GIB:.1f} GiB more than the "
        f"{memory.capacity / GIB:.1f} GiB of {problem.device.name}"
    )
    return [
        Reason(
            rule="memory", message=message, bytes_over=over, remedy=_memory_remedy(strategy, fullest.optimizer, fullest)
        )
    ]


def _memory_remedy(strategy: Strategy, optimizer: float, stage: object) -> str:
    activations = getattr(stage, "activations", 0.0)
    if activations >= optimizer and strategy.recompute != "full":
        return "recompute more: selective, then full"
    if strategy.micro_batch_size > 1 and activations >= optimizer:
        return "lower micro_batch_size"
    if strategy.sharding == "none":
        return "shard the optimizer: sharding zero1"
    return "raise tensor_parallel or pipeline_parallel, or offload the optimizer"


def search_reasons(
    dropped: Mapping[str, int], after_rules: int, after_memory: int, least_over: float | None
) -> list[Reason]:
    """Rank why a search found nothing: memory first when something got that far, else the rules that refused most."""
    if after_memory:
        return []
    if after_rules:
        nearest = "" if least_over is None else f"; the nearest needs {least_over / GIB:.1f} GiB more per GPU"
        message = f"none of {after_rules} valid strategies fits in memory{nearest}"
        remedy = "use more GPUs, GPUs with more memory, or allow offload and recomputation in search.space"
        return [Reason(rule="memory", message=message, bytes_over=least_over, remedy=remedy)]
    reasons = {rule.id: rule.reason for rule in BUILTIN_RULES}
    ranked = sorted((item for item in dropped.items() if item[1]), key=lambda item: (-item[1], item[0]))
    return [Reason(rule=rule, message=f"{reasons.get(rule, rule)} ({count} refused)") for rule, count in ranked]

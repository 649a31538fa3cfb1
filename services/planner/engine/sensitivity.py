"""What limits the best plan, and what a node, more memory or a faster link would gain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.engine.homogeneous import find
from planner.engine.outputs import Insight, Sensitivity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.inputs import SearchOptions
    from planner.engine.outputs import Candidate
    from planner.engine.problem import Problem
    from planner.engine.rules import Rule

_MORE_MEMORY = 1.25
_FASTER = 2.0


def insight(problem: Problem, best: Candidate, search: SearchOptions, rules: Sequence[Rule]) -> Insight:
    """Search again with one thing changed at a time; each answer is the exact optimum of the changed question."""
    parts = best.estimate.breakdown.model_dump()
    shares = {name: seconds / best.estimate.iteration_seconds for name, seconds in parts.items() if seconds > 0}
    ranked = dict(sorted(shares.items(), key=lambda item: -item[1]))
    only_best = search.model_copy(update={"top_k": 1, "method": "bounded"})
    found = [(change, changed.gpus, find(changed, only_best, rules).best) for change, changed in _changes(problem)]
    return Insight(
        shares=ranked,
        memory_used=best.estimate.memory.peak / best.estimate.memory.capacity,
        sensitivities=[
            Sensitivity(
                change=change,
                gpus=gpus,
                iteration_seconds=float(one.seconds[0]),
                speedup=best.estimate.iteration_seconds / float(one.seconds[0]),
            )
            for change, gpus, one in found
            if len(one)
        ],
    )


def _changes(problem: Problem) -> Iterator[tuple[str, Problem]]:
    device = problem.device
    yield "one more node", replace(problem, gpus=problem.gpus + device.gpus_per_node)
    yield "twice the GPUs", replace(problem, gpus=2 * problem.gpus)
    roomier = replace(device, memory_bytes=device.memory_bytes * _MORE_MEMORY)
    yield "a quarter more memory", replace(problem, device=roomier)
    faster = replace(device, scale_out_rate=device.scale_out_rate * _FASTER)
    yield "twice the network", replace(problem, device=faster)
    faster = replace(device, scale_up_rate=device.scale_up_rate * _FASTER)
    yield "twice the scale-up link", replace(problem, device=faster)
    faster = replace(device, memory_rate=device.memory_rate * _FASTER)
    yield "twice the memory bandwidth", replace(problem, device=faster)

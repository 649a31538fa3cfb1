"""The pipeline schedule as a Chrome trace, which Perfetto opens.

Events follow the Trace Event Format: complete events (`ph` X) with `ts` and `dur` in microseconds, one thread a stage,
ascending and never overlapping within one; names and order of processes and threads as metadata events (`ph` M).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.pipeline import stage_seconds
from planner.engine.heterogeneous import stage_passes
from planner.engine.schedule import Operation, StageSeconds, simulate
from planner.engine.space import Pairs
from planner.engine.space.codec import encode
from planner.export.context import Export, PlanContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.outputs import StageAssignment

_MOST_OPERATIONS = 40_000
_COLOURS = {"forward": "thread_state_running", "backward": "thread_state_iowait", "weight": "thread_state_runnable"}


def trace(context: PlanContext) -> Export:
    """Return one step's operations of every stage; long steps are cut to whole groups of micro-batches, and say so."""
    strategy, assignment = context.strategy, context.candidate.assignment
    stages, transfers = _alike(context) if assignment is None else _mixed(context, assignment)
    shown = _shown(context, len(stages))
    schedule = strategy.schedule or ("interleaved" if strategy.virtual_pipeline > 1 else "1f1b")
    operations = simulate(stages, schedule, strategy.virtual_pipeline, shown, transfers)
    events = [*_names(context, len(stages)), *(_event(operation) for operation in operations)]
    other = {"micro_batches": context.micro_batches, "shown": shown, "model": context.architecture.name}
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other})
    return Export("trace.json", "application/json", text)


def _alike(context: PlanContext) -> tuple[list[StageSeconds], list[float]]:
    problem, strategy = context.problem(), context.strategy
    layouts, options = encode(problem, strategy)
    stages = [StageSeconds(*seconds) for seconds in stage_seconds(problem, layouts, options, Pairs.only(options))]
    size = 2.0 * strategy.micro_batch_size * problem.sequence * problem.architecture.hidden_size
    size /= strategy.context_parallel * strategy.tensor_parallel
    distance = problem.gpus // len(stages)
    hop = float(transfer_seconds(problem.device, np.array(distance), np.array(size))) if len(stages) > 1 else 0.0
    return stages, [hop] * len(stages)


def _mixed(context: PlanContext, assignment: Sequence[StageAssignment]) -> tuple[list[StageSeconds], list[float]]:
    names = list(context.devices)
    kinds = [names.index(run.gpu) for run in assignment for _ in run.layers]
    layers = [count for run in assignment for count in run.layers]
    stages, hops = stage_passes(context.pools(), context.strategy, kinds, layers)
    return stages, [*hops, 0.0]


def _shown(context: PlanContext, stages: int) -> int:
    per_micro_batch = 3 * stages * context.strategy.virtual_pipeline
    most = max(_MOST_OPERATIONS // per_micro_batch // stages, 1) * stages
    return min(context.micro_batches, most)


def _names(context: PlanContext, stages: int) -> Iterator[dict[str, object]]:
    candidate = context.candidate
    yield _metadata("process_name", 0, name=f"{candidate.gpus} x {candidate.gpu}")
    kinds = [run.gpu for run in candidate.assignment or [] for _ in run.layers] or [candidate.gpu] * stages
    for stage, gpu in enumerate(kinds):
        yield _metadata("thread_name", stage, name=f"stage {stage} on {gpu}")
        yield _metadata("thread_sort_index", stage, sort_index=stage)


def _metadata(event: str, stage: int, /, **arguments: object) -> dict[str, object]:
    return {"ph": "M", "name": event, "pid": 0, "tid": stage, "args": arguments}


def _event(operation: Operation) -> dict[str, object]:
    return {
        "ph": "X",
        "name": f"{operation.kind} {operation.micro_batch}",
        "cat": operation.kind,
        "pid": 0,
        "tid": operation.stage,
        "ts": operation.start_seconds * 1e6,
        "dur": operation.seconds * 1e6,
        "cname": _COLOURS[operation.kind],
        "args": {"micro_batch": operation.micro_batch, "chunk": operation.chunk},
    }

"""The pipeline schedule as a Chrome trace, which Perfetto opens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.pipeline import stage_seconds
from planner.engine.schedule import Operation, StageSeconds, simulate
from planner.engine.space import Pairs
from planner.engine.space.codec import encode
from planner.export.context import CannotExpressError, Export, PlanContext

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_OPERATIONS = 40_000
_COLOURS = {"forward": "thread_state_running", "backward": "thread_state_iowait", "weight": "thread_state_runnable"}


def trace(context: PlanContext) -> Export:
    """Return one step's operations of every stage; long steps are cut to whole groups of micro-batches, and say so."""
    if context.candidate.assignment is not None:
        raise CannotExpressError("trace", "assignment", context.candidate.gpu, "it is drawn for one GPU type")
    problem, strategy = context.problem(), context.strategy
    layouts, options = encode(problem, strategy)
    stages = [StageSeconds(*seconds) for seconds in stage_seconds(problem, layouts, options, Pairs.only(options))]
    shown = _shown(context, len(stages))
    size = 2.0 * strategy.micro_batch_size * problem.sequence * problem.architecture.hidden_size
    size /= strategy.context_parallel * strategy.tensor_parallel
    distance = problem.gpus // len(stages)
    hop = float(transfer_seconds(problem.device, np.array(distance), np.array(size))) if len(stages) > 1 else 0.0
    schedule = strategy.schedule or ("interleaved" if strategy.virtual_pipeline > 1 else "1f1b")
    operations = simulate(stages, schedule, strategy.virtual_pipeline, shown, hop)
    events = [*_names(context, len(stages)), *(_event(operation) for operation in operations)]
    other = {"micro_batches": context.micro_batches, "shown": shown, "model": context.architecture.name}
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": other})
    return Export("trace.json", "application/json", text)


def _shown(context: PlanContext, stages: int) -> int:
    per_micro_batch = 3 * stages * context.strategy.virtual_pipeline
    most = max(_MOST_OPERATIONS // per_micro_batch // stages, 1) * stages
    return min(context.micro_batches, most)


def _names(context: PlanContext, stages: int) -> Iterator[dict[str, object]]:
    yield {
        "ph": "M",
        "name": "process_name",
        "pid": 0,
        "args": {"name": f"{context.candidate.gpus} x {context.candidate.gpu}"},
    }
    for stage in range(stages):
        yield {"ph": "M", "name": "thread_name", "pid": 0, "tid": stage, "args": {"name": f"stage {stage}"}}


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

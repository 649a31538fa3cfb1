"""The price of one given strategy, in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.pipeline import PipelineTimes, pipeline_times
from planner.engine.cost.price import Pricer
from planner.engine.cost.step import StepTimes, step_times
from planner.engine.explain import memory_reasons, rule_reasons
from planner.engine.memory import stage_memory
from planner.engine.outputs import Breakdown, Estimate, Memory, StageMemory
from planner.engine.space import Pairs
from planner.engine.space.codec import encode
from planner.engine.stages import all_stages

if TYPE_CHECKING:
    from planner.engine.inputs import Strategy
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options

_FIRST = np.zeros(1, np.intp)


def estimate_strategy(
    problem: Problem, strategy: Strategy, tokens: float | None, *, field: str = "strategy", admitted: bool = False
) -> Estimate:
    """Return the estimate of `strategy`; InvalidRequest when it cannot be laid out on the problem's GPUs.

    A strategy that a search `admitted` breaks no rule; none is tried again.
    """
    layouts, options = encode(problem, strategy, field=field)
    pairs = Pairs.only(options)
    pipeline = pipeline_times(problem, layouts, options, pairs)
    step = step_times(problem, layouts, options)
    pricer = Pricer.of(problem, options, pairs, pipeline, step)
    seconds = pricer.seconds(_FIRST, 0).item()
    memory = memory_of(problem, layouts, options)
    broken = [] if admitted else rule_reasons(problem, layouts, options)
    reasons = broken + memory_reasons(problem, strategy, memory)
    rate = problem.batch * problem.sequence / seconds
    peak = problem.device.peak_flops("fp16" if problem.precision == "fp16" else "bf16") * problem.gpus
    return Estimate(
        feasible=not reasons,
        reasons=reasons,
        iteration_seconds=seconds,
        tokens_per_second=rate,
        tokens_per_second_per_gpu=rate / problem.gpus,
        model_flops_utilization=rate * problem.model_flops_per_token / peak,
        memory=memory,
        breakdown=_breakdown(pipeline, step, pricer),
        hours=None if tokens is None else tokens / rate / 3600,
    )


def _breakdown(pipeline: PipelineTimes, step: StepTimes, pricer: Pricer) -> Breakdown:
    """Name the parts of the one point priced; the slowdown by stragglers is spread over all of them."""
    steady, straggling = pipeline.steady_by_cause(), float(step.straggling[0])
    reduce = pricer.reduce.exposed(_FIRST, 0, pricer.backward).item()
    gather = pricer.gather.exposed(_FIRST, 0, pricer.forward).item()
    parts = {
        "compute": steady.compute.item() + step.fixed.item(),
        "tp": steady.tp.item(),
        "cp": steady.cp.item(),
        "ep": steady.ep.item(),
        "pp_bubble": pipeline.bubble.item(),
        "pp_comm": pipeline.transfers.item(),
        "dp": reduce + gather,
        "optimizer": step.optimizer.item(),
        "offload": pipeline.offload.item() + step.offload.item(),
    }
    return Breakdown(**{name: value * straggling for name, value in parts.items()})


def memory_of(problem: Problem, layouts: Layouts, options: Options) -> Memory:
    """Return the memory of every stage of the one layout and option.

    Allocators cache what they freed while there is room, so a peak that is read off a run holds some slack.
    """
    device = problem.device
    stages = all_stages(problem.architecture, layouts)
    parts = stage_memory(problem, layouts, options, stages)
    rows = []
    for index in range(stages.index.shape[1]):
        values = {
            "weights": parts.state.weights[0, index].item(),
            "gradients": parts.state.gradients[0, index].item(),
            "optimizer": parts.state.optimizer[0, index].item() * (1.0 - options.optimizer_offload.item()),
            "activations": parts.activations[0, index].item(),
            "buffers": parts.buffers[0, index].item() + parts.state.gathered[0, index].item(),
        }
        slack = device.calibration.allocator_slack * (values["activations"] + values["buffers"])
        values["buffers"] += min(slack, max(device.memory_bytes - sum(values.values()), 0.0))
        layers = int(stages.layers[0, index])
        rows.append(StageMemory(stage=index, layers=layers, peak=sum(values.values()), **values))
    return Memory(capacity=problem.device.memory_bytes, peak=max(row.peak for row in rows), stages=rows)

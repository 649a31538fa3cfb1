"""Every figure of an estimate, traced to the quantities it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.layer import layer_modules
from planner.engine.cost.pipeline import pipeline_times, stage_seconds
from planner.engine.cost.step import exposed_share, step_times
from planner.engine.memory import sharding_ranks, stage_parameters
from planner.engine.outputs import Term
from planner.engine.space import Pairs
from planner.engine.space.codec import encode
from planner.engine.stages import all_stages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.inputs import Strategy
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options


def estimate_terms(problem: Problem, strategy: Strategy) -> list[Term]:
    """Return the terms of the estimate of `strategy`, from the hardware up to the step."""
    layouts, options = encode(problem, strategy)
    return [
        *_hardware(problem),
        *_layers(problem, layouts, options),
        *_pipeline(problem, layouts, options),
        *_step(problem, layouts, options),
    ]


def _term(group: str, name: str, value: float, unit: str, meaning: str) -> Term:
    return Term(group=group, name=name, value=float(value), unit=unit, meaning=meaning)


def _hardware(problem: Problem) -> Iterator[Term]:
    device, calibration = problem.device, problem.device.calibration
    source = f"{device.gpu.source}; calibration {calibration.name}: {calibration.provenance}"
    peak = device.peak_flops(problem.precision)
    yield _term("hardware", "peak", peak, "FLOP/s", f"{problem.precision} matrix products; {source}")
    yield _term("hardware", "gemm efficiency", device.gemm_efficiency(problem.precision), "", "of peak, large products")
    yield _term("hardware", "memory rate", device.memory_rate * calibration.memory, "B/s", "datasheet x calibration")
    yield _term(
        "hardware", "scale-up rate", device.scale_up_rate * calibration.scale_up, "B/s", f"domain of {device.domain}"
    )
    yield _term("hardware", "scale-out rate", device.scale_out_rate * calibration.scale_out, "B/s", "per GPU")


def _layers(problem: Problem, layouts: Layouts, options: Options) -> Iterator[Term]:
    shapes = ops.Shapes.of(problem, layouts)
    yield _term(
        "layer", "tokens", shapes.tokens[0], "", "per rank and micro-batch: micro-batch x sequence / context ranks"
    )
    for moe in (False, True) if problem.architecture.is_moe else (False,):
        group = "layer with experts" if moe else "layer"
        for name, work in layer_modules(problem, options, shapes, moe=moe).items():
            parts = (
                ("forward", work.forward),
                ("input gradient", work.input_grad),
                ("weight gradient", work.weight_grad),
            )
            for part, seconds in parts:
                yield _term(group, f"{name} {part}", float(np.max(seconds)), "s", "per layer and micro-batch")


def _pipeline(problem: Problem, layouts: Layouts, options: Options) -> Iterator[Term]:
    pair = Pairs.only(options)
    stages = stage_seconds(problem, layouts, options, pair)
    for index, (forward, backward, _) in enumerate(stages):
        yield _term(
            "stage", f"stage {index} forward", forward, "s", "per micro-batch, embedding and loss where they stand"
        )
        yield _term("stage", f"stage {index} backward", backward, "s", "per micro-batch, recomputation included")
    times = pipeline_times(problem, layouts, options, pair)
    yield _term("pipeline", "micro-batches", layouts.micro_batches[0], "", "K = batch / (data ranks x micro-batch)")
    yield _term("pipeline", "steady", times.steady.item(), "s", "K x the slowest stage")
    yield _term(
        "pipeline", "bubble", times.bubble.item(), "s", "(sum of stages - slowest) / chunks, less deferred gradients"
    )
    yield _term(
        "pipeline", "transfers", times.transfers.item(), "s", "2 x ((K - 1) x chunks x shown + (stages - 1) x one)"
    )
    yield _term("pipeline", "activation offload", times.offload.item(), "s", "host transfers that outlast a pass")


def _step(problem: Problem, layouts: Layouts, options: Options) -> Iterator[Term]:
    step = step_times(problem, layouts, options)
    times = pipeline_times(problem, layouts, options, Pairs.only(options))
    window = problem.device.calibration.overlap_window
    parameters = stage_parameters(problem, layouts, all_stages(problem.architecture, layouts))
    ranks, expert_ranks = sharding_ranks(problem, layouts, options)
    yield _term("step", "parameters", parameters.shared.max(), "", "of the fullest stage's rank, experts apart")
    yield _term("step", "expert parameters", parameters.expert.max(), "", "of the fullest stage's rank")
    yield _term("step", "sharding ranks", ranks.item(), "", f"experts: {expert_ranks.item():g}")
    yield _term("step", "gradient reduction", step.reduce.item(), "s", "all of it, hidden or not")
    hidden = times.last_backward.item() * window * step.repeats.item()
    yield _term("step", "backward window", hidden, "s", "what can hide it when overlapped")
    yield _term("step", "weight gathering", step.gather.item(), "s", "all of it, hidden or not")
    hidden = times.first_forward.item() * window * step.repeats.item()
    yield _term("step", "forward window", hidden, "s", "what can hide it when overlapped")
    yield _term("step", "never hidden", exposed_share(problem), "", "share of overlapped traffic that still costs time")
    yield _term("step", "optimizer", step.optimizer.item(), "s", "device step and gradient sweeps, by memory rate")
    yield _term("step", "host optimizer", step.offload.item(), "s", "transfers and Adam on the host")
    yield _term("step", "fixed", step.fixed.item(), "s", "data loading, logging, synchronisation")
    yield _term("step", "straggling", step.straggling.item(), "", "slowdown x (1 + c log2(nodes))")

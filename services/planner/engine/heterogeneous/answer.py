"""A mix of GPU types as candidates of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost import operators as ops
from planner.engine.cost.layer import layer_times
from planner.engine.cost.step import fixed_seconds
from planner.engine.heterogeneous.tables import end_parameters, mean_layer_parameters
from planner.engine.memory import StageParameters, state_bytes
from planner.engine.money import money_of
from planner.engine.outputs import Breakdown, Candidate, Estimate, Memory, StageAssignment, StageMemory
from planner.engine.space.codec import decode

if TYPE_CHECKING:
    from planner.engine.heterogeneous.pricing import Pricing
    from planner.engine.heterogeneous.search import Mix
    from planner.engine.types import Floats

_CAUSES = ("compute", "tp", "cp", "ep")


def candidate_of(pricing: Pricing, mix: Mix, tokens: float | None) -> Candidate:
    """Return the plan with its estimate: per-stage memory, breakdown by the slowest stage, and money."""
    common, problem = mix.common, pricing.pools[0].problem
    flash = problem.flash_attention
    strategy = decode(pricing.layouts, pricing.options, common.layout, common.work, common.state, flash=flash)
    counts = _counts(pricing, mix)
    seconds = mix.seconds * pricing.straggling
    rate = problem.batch * problem.sequence / seconds
    total = sum(counts.values())
    peak = sum(
        counts.get(pool.problem.device.name, 0) * pool.problem.device.peak_flops(problem.precision)
        for pool in pricing.pools
    )
    hours = None if tokens is None else tokens / rate / 3600
    estimate = Estimate(
        feasible=True,
        reasons=[],
        iteration_seconds=seconds,
        tokens_per_second=rate,
        tokens_per_second_per_gpu=rate / total,
        model_flops_utilization=rate * problem.model_flops_per_token / peak,
        memory=_memory(pricing, mix),
        breakdown=_breakdown(pricing, mix),
        hours=hours,
    )
    return Candidate(
        gpu="+".join(counts),
        gpus=total,
        strategy=strategy,
        estimate=estimate,
        cost=money_of(counts, hours),
        assignment=_assignment(pricing, mix),
    )


def _counts(pricing: Pricing, mix: Mix) -> dict[str, int]:
    per_stage = total_per_stage(pricing, mix)
    kinds, stages = np.unique(mix.kinds, return_counts=True)
    return {
        pricing.pools[kind].problem.device.name: int(count) * per_stage
        for kind, count in zip(kinds.tolist(), stages.tolist(), strict=True)
    }


def total_per_stage(pricing: Pricing, mix: Mix) -> int:
    """Return the GPUs of one pipeline stage."""
    row, layouts = mix.common.layout, pricing.layouts
    return int(layouts.tensor[row] * layouts.context[row] * layouts.data[row])


def _assignment(pricing: Pricing, mix: Mix) -> list[StageAssignment]:
    starts = np.flatnonzero(np.diff(mix.kinds, prepend=-1))
    runs = np.split(mix.layers, starts[1:])
    return [
        StageAssignment(
            gpu=pricing.pools[int(mix.kinds[start])].problem.device.name, stages=len(run), layers=run.tolist()
        )
        for start, run in zip(starts, runs, strict=True)
    ]


def _memory(pricing: Pricing, mix: Mix) -> Memory:
    common, count, tables = mix.common, len(mix.kinds), pricing.memory
    problem, options = pricing.pools[0].problem, pricing.options
    row = pricing.layouts.take(slice(common.layout, common.layout + 1))
    layer, ends = mean_layer_parameters(problem, row), end_parameters(problem, row)
    extra = np.zeros((2, 1, count))
    extra[0, 0, [0, -1]], extra[1, 0, [0, -1]] = ends.shared[0], ends.expert[0]
    held = StageParameters(mix.layers[None] * layer.shared + extra[0], mix.layers[None] * layer.expert + extra[1])
    state = state_bytes(problem, row, options, held)
    sharding, share = np.unravel_index(common.state, options.state_shape)[:2]
    in_flight = np.minimum(pricing.micro_batches(common), count - np.arange(count))
    with_fragments = in_flight * mix.layers * tables.layer_activations[common.layout, common.work]
    activations = with_fragments / (1 + problem.device.calibration.fragmentation)
    buffers = with_fragments - activations + tables.fixed[common.layout, common.work]
    buffers[-1] += tables.last_fixed[common.layout]
    rows = []
    for index in range(count):
        values = {
            "weights": float(state.weights[0, index, sharding]),
            "gradients": float(state.gradients[0, index, sharding]),
            "optimizer": float(state.optimizer[0, index, sharding] * (1.0 - options.optimizer_offload[share])),
            "activations": float(activations[index]),
            "buffers": float(buffers[index]),
        }
        rows.append(StageMemory(stage=index, layers=int(mix.layers[index]), peak=sum(values.values()), **values))
    capacity = min(pricing.pools[kind].problem.device.memory_bytes for kind in set(mix.kinds.tolist()))
    return Memory(capacity=capacity, peak=max(stage.peak for stage in rows), stages=rows)


def _breakdown(pricing: Pricing, mix: Mix) -> Breakdown:
    """The slowest stage's passes by cause; the rest of the sum over stages is bubble."""
    common = mix.common
    pipeline = pricing.pipeline(common, mix.kinds)
    hops = pricing.hops(common, mix.kinds)
    times = pipeline.offset + pipeline.slope * mix.layers
    slowest = int(np.argmax(times))
    micro_batches = pricing.micro_batches(common)
    causes = _layer_causes(pricing, mix, int(mix.kinds[slowest]))
    steady = {cause: micro_batches * mix.layers[slowest] * seconds for cause, seconds in causes.items()}
    ends = times[slowest] - hops[slowest] - pipeline.slope[slowest] * mix.layers[slowest]
    steady["compute"] += micro_batches * ends
    once = pipeline.once[np.arange(len(times)), mix.layers - 1]
    worst = int(np.argmax(once))
    dp, optimizer, offload = pricing.once_parts(common, mix.kinds, worst, int(mix.layers[worst]))
    fixed = fixed_seconds(pricing.pools[0].problem)
    optimizer += float(once[worst]) - dp - optimizer - offload - fixed
    steady["compute"] += fixed
    transfers = hops.sum() + (micro_batches - 1) * hops[slowest]
    bubble = (times - hops).sum() - (times - hops)[slowest]
    parts = steady | {"pp_bubble": bubble, "pp_comm": transfers, "dp": dp, "optimizer": optimizer, "offload": offload}
    return Breakdown(**{name: float(seconds) * pricing.straggling for name, seconds in parts.items()})


def _layer_causes(pricing: Pricing, mix: Mix, kind: int) -> dict[str, Floats]:
    """Return seconds of the mean layer by cause, both passes and what is recomputed."""
    problem, options = pricing.pools[kind].problem, pricing.options
    row = pricing.layouts.take(slice(mix.common.layout, mix.common.layout + 1))
    shapes, arch = ops.Shapes.of(problem, row), problem.architecture
    shape = (1, *options.work_shape)
    redo = np.array([setting.share for setting in options.recomputes]).reshape(1, 1, 1, -1, 1, 1, 1)
    seconds = dict.fromkeys(_CAUSES, np.zeros(()))
    for moe in (False, True) if arch.is_moe else (False,):
        times = layer_times(problem, options, shapes, moe=moe)
        share = arch.moe_layer_count / arch.layers if moe else 1 - arch.moe_layer_count / arch.layers
        for cause in _CAUSES:
            forward, backward, again = (getattr(part, cause) for part in (times.forward, times.backward, times.again))
            whole = np.broadcast_to(forward * (1 + redo) + backward + again, shape).reshape(-1)
            seconds[cause] = seconds[cause] + share * whole[mix.common.work]
    return seconds

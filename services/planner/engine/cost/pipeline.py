"""Stages and schedules: the time of a step's forward and backward passes.

With K micro-batches and stage times t_i, 1F1B takes sum_i t_i + (K - 1) max_i t_i. Interleaving v chunks divides the
fill by v (Narayanan et al. 2021, arXiv 2104.04473), or leaves of it the share of the longest of unequal chunks; ZB-H1
fills it with weight gradients, leaving (p - 1)(F + B - W) of (p - 1)(F + B + W) (Qi et al. 2023, arXiv 2401.10241).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.collectives import transfer_seconds
from planner.engine.cost.stage import LayerTables, stage_holdings, whole_holdings
from planner.engine.memory.activations import activation_bytes
from planner.engine.space.pipelines import SCHEDULES
from planner.engine.stages import all_stages, candidate_stages

if TYPE_CHECKING:
    from planner.engine.cost.layer import Pass
    from planner.engine.cost.stage import Holdings
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options, Pairs
    from planner.engine.types import Floats, Ints

_ZERO_BUBBLE = SCHEDULES.index("zero_bubble")


@dataclass(frozen=True, slots=True)
class PipelineTimes:
    """Seconds per step of each pair, shape (pairs,): passes of the slowest stage over all micro-batches, and the rest.

    `last_backward` is the slowest stage's last backward passes, under which gradients may be reduced; `first_forward`
    its first forward passes, under which weights may be gathered. Interleaved, a chunk's micro-batches run p at a time,
    so the chunks finish, and are first needed, up to p passes apart.
    """

    steady: Floats
    bubble: Floats
    transfers: Floats
    offload: Floats
    first_forward: Floats
    last_backward: Floats
    _tables: LayerTables
    _slowest: Holdings
    _micro_batches: Ints

    @property
    def total(self) -> Floats:
        """The whole pipeline."""
        return self.steady + self.bubble + self.transfers + self.offload

    def steady_by_cause(self) -> Pass:
        """Return the parts of `steady`."""
        return self._tables.by_cause(self._slowest).map(lambda seconds: seconds * self._micro_batches)


def pipeline_times(problem: Problem, layouts: Layouts, options: Options, pairs: Pairs) -> PipelineTimes:
    """Return the pipeline's time for every pair."""
    tables = LayerTables.of(problem, layouts, options, pairs)
    stages = candidate_stages(problem.architecture, layouts)
    held = stage_holdings(problem, layouts, options, tables, stages)
    slowest, total = tables.slowest(held, pairs)
    forward, weight_grad = tables.forward(slowest), tables.weight_grad(slowest)
    micro_batches, virtual = (column[pairs.layout] for column in (layouts.micro_batches, layouts.virtual))
    whole = tables.seconds(whole_holdings(problem, layouts, options, tables, stages).of(pairs, 0))
    deferred = np.minimum(2.0 * weight_grad / total, 1.0) * (layouts.schedule == _ZERO_BUBBLE)[pairs.layout]
    filled = np.minimum(layouts.pipeline[pairs.layout], micro_batches)
    passes = 1.0 + (filled - 1.0) * (virtual - 1.0) / virtual
    return PipelineTimes(
        steady=total * micro_batches,
        bubble=(whole - total) * layouts.fill_share[pairs.layout] * (1.0 - deferred),
        transfers=_transfers(problem, layouts, options, pairs, forward / virtual),
        offload=_offloaded(problem, layouts, options, pairs, forward) * micro_batches,
        first_forward=forward * passes,
        last_backward=(total - forward) * passes,
        _tables=tables,
        _slowest=slowest,
        _micro_batches=micro_batches,
    )


def stage_seconds(
    problem: Problem, layouts: Layouts, options: Options, pairs: Pairs
) -> list[tuple[float, float, float]]:
    """Return (forward, backward, weight gradient) per micro-batch of every stage of one pair.

    The backward pass includes recomputation and the weight gradient.
    """
    tables = LayerTables.of(problem, layouts, options, pairs)
    rows = []
    stages = stage_holdings(problem, layouts, options, tables, all_stages(problem.architecture, layouts))
    for stage in range(stages.stages):
        held = stages.of(pairs, stage)
        forward = tables.forward(held).item()
        rows.append((forward, tables.seconds(held).item() - forward, tables.weight_grad(held).item()))
    return rows


def _transfers(problem: Problem, layouts: Layouts, options: Options, pairs: Pairs, chunk_forward: Floats) -> Floats:
    """Each micro-batch enters and leaves a stage once per chunk in both passes.

    Overlapped, only what outlasts a chunk shows.
    """
    device = problem.device
    tokens = layouts.micro_batch * (problem.sequence / layouts.context)
    size_bytes = 2.0 * tokens * problem.architecture.hidden_size / layouts.tensor
    distance = layouts.tensor * layouts.context * layouts.data
    each: Floats = np.where(layouts.pipeline > 1, transfer_seconds(device, distance, size_bytes), 0.0)
    crossings, fill = (layouts.micro_batches - 1) * layouts.virtual, (layouts.pipeline - 1) * each
    once = each[pairs.layout]
    hidden = np.maximum(
        once - chunk_forward * device.calibration.overlap_window, device.calibration.exposed_floor * once
    )
    per_crossing: Floats = np.where(options.p2p_overlap[pairs.p2p_overlap], hidden, once)
    shown: Floats = 2.0 * (crossings[pairs.layout] * per_crossing + fill[pairs.layout])
    return shown


def _offloaded(problem: Problem, layouts: Layouts, options: Options, pairs: Pairs, forward: Floats) -> Floats:
    """Activations leave for the host under the forward pass and return under the backward one."""
    away = options.activation_offload[pairs.offload]
    if not away.any():
        return np.zeros(len(pairs))
    kept = activation_bytes(problem, layouts, options)
    layers = np.maximum(layouts.first_layers, layouts.middle_layers)[:, None, None]
    moved = layers * np.maximum(kept.dense, kept.moe if problem.architecture.is_moe else kept.dense)
    seconds = moved[pairs.layout, pairs.sequence, pairs.recompute] / problem.device.host_rate
    late = np.maximum(seconds - forward, 0.05 * seconds)
    waited: Floats = 2.0 * late * away
    return waited

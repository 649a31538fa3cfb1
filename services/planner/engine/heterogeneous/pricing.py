"""The stages of one pipeline, priced from the tables of every type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.step import exposed_share, fixed_seconds, straggling
from planner.engine.heterogeneous.assign import Stages
from planner.engine.heterogeneous.compositions import Offsets
from planner.engine.heterogeneous.tables import Pool, memory_tables, once_seconds, transfer_bytes, type_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.cost.step import StepTimes
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Common:
    """A strategy that all stages share: a layout row, a flat work option, a flat state option."""

    layout: int
    work: int
    state: int


class Pricing:
    """Prices of every common strategy on every type, looked up per pipeline."""

    def __init__(self, pools: Sequence[Pool], layouts: Layouts, options: Options) -> None:
        self.pools, self.layouts, self.options = pools, layouts, options
        self.tables = [type_tables(pool.problem, layouts, options) for pool in pools]
        self.memory = memory_tables(pools[0].problem, layouts, options)
        self.layer_count = pools[0].problem.architecture.layers + pools[0].problem.mtp
        self._once: dict[tuple[int, int, int, str], Floats] = {}
        self._steps: dict[tuple[int, int, str], StepTimes] = {}

    @cached_property
    def limits(self) -> Ints:
        """Stages each type can hold, shape (layouts, types)."""
        per_stage = self.layouts.tensor * self.layouts.context * self.layouts.data
        return np.stack([pool.limit // per_stage for pool in self.pools], axis=1)

    def stages(self, common: Common) -> int:
        """Pipeline stages."""
        return int(self.layouts.pipeline[common.layout])

    def micro_batches(self, common: Common) -> int:
        """Micro-batches per step."""
        return int(self.layouts.micro_batches[common.layout])

    def slopes(self, common: Common) -> Floats:
        """Seconds per layer and micro-batch on each type."""
        return np.array([tables.layer[common.layout, common.work] for tables in self.tables])

    def pipeline(self, common: Common, kinds: Ints) -> Stages:
        """Return the pipeline whose stage i stands on type kinds[i]."""
        return Stages(
            slope=self.slopes(common)[kinds],
            offset=self.offsets(common, kinds),
            most=self.most_layers(common, kinds),
            once=np.stack(
                [self._once_of(common, kind, self._end(i, len(kinds))) for i, kind in enumerate(kinds.tolist())]
            ),
        )

    @staticmethod
    def _end(position: int, count: int) -> str:
        return "first" if position == 0 else "last" if position == count - 1 else "middle"

    def offsets(self, common: Common, kinds: Ints) -> Floats:
        """Return embedding, loss and transfers: what each stage takes whatever its layers, shape (stages,)."""
        row = common.layout
        offsets = self.hops(common, kinds)
        offsets[0] += self.tables[kinds[0]].first[row]
        offsets[-1] += self.tables[kinds[-1]].last[row]
        return offsets

    def hops(self, common: Common, kinds: Ints) -> Floats:
        """Return the transfers of each stage to the next, both ways.

        Between types at the slower one's rate or the override.
        """
        own = np.array([tables.hop[common.layout] for tables in self.tables])[kinds]
        hops = np.append(np.maximum(own[:-1], own[1:]), 0.0)
        size = float(
            transfer_bytes(self.pools[0].problem, self.layouts.take(slice(common.layout, common.layout + 1)))[0]
        )
        for position in np.flatnonzero(kinds[:-1] != kinds[1:]):
            hops[position] = max(self._between(int(kinds[side]), size) for side in (position, position + 1))
        return hops

    def _between(self, kind: int, size: Floats | float) -> Floats | float:
        device, pool = self.pools[kind].problem.device, self.pools[kind]
        rate = pool.inter_type_rate or device.scale_out_rate
        return 2.0 * (size / (rate * device.calibration.scale_out) + device.scale_out_latency)

    def most_layers(self, common: Common, kinds: Ints) -> Ints:
        """Return the layers that fit on each stage: later stages of 1F1B hold fewer micro-batches."""
        row, memory, count = common.layout, self.memory, len(kinds)
        in_flight = np.minimum(self.micro_batches(common), count - np.arange(count))
        capacity = np.array([pool.problem.device.memory_bytes for pool in self.pools])[kinds]
        fixed = np.full(count, memory.fixed[row, common.work])
        fixed[0] += memory.first_state[row, common.state]
        fixed[-1] += memory.last_state[row, common.state] + memory.last_fixed[row]
        per_layer = memory.layer_state[row, common.state] + in_flight * memory.layer_activations[row, common.work]
        most: Ints = np.floor(np.maximum(capacity - fixed, 0) / per_layer).astype(np.int64)
        return most

    @cached_property
    def offsets_at_least(self) -> Offsets:
        """The least that stages of each layout take beside their layers, shape (layouts,)."""
        size = transfer_bytes(self.pools[0].problem, self.layouts)
        hop = np.min([np.minimum(one.hop, self._between(k, size)) for k, one in enumerate(self.tables)], axis=0)
        first, last = (np.min([getattr(one, end) for one in self.tables], axis=0) for end in ("first", "last"))
        return Offsets(np.minimum(hop, last), (self.layouts.pipeline - 1) * hop + first + last)

    def may_fit(self, layout: int, work: int, states: Ints) -> Bools:
        """Return with which of `states` the model fits if every stage stood on the type with most memory."""
        capacity, memory = max(pool.problem.device.memory_bytes for pool in self.pools), self.memory
        count = int(self.layouts.pipeline[layout])
        in_flight = np.minimum(self.layouts.micro_batches[layout], count - np.arange(count))
        fixed = np.full((len(states), count), memory.fixed[layout, work])
        fixed[:, 0] += memory.first_state[layout, states]
        fixed[:, -1] += memory.last_state[layout, states] + memory.last_fixed[layout]
        per_layer = memory.layer_state[layout, states][:, None] + in_flight * memory.layer_activations[layout, work]
        most = np.floor(np.maximum(capacity - fixed, 0) / per_layer)
        fits: Bools = (most.min(axis=1) >= 1) & (most.sum(axis=1) >= self.layer_count)
        return fits

    def least_once(self, layout: int, work: int) -> Floats:
        """Return what a stage of 1, 2, ... layers does once per step on the type quickest at it.

        Shape (state options, layer counts).
        """
        kinds = np.flatnonzero(self.limits[layout]).tolist()
        least: Floats = np.min([self._once_table(layout, work, kind, "middle") for kind in kinds], axis=0)
        return least

    def _once_of(self, common: Common, kind: int, end: str) -> Floats:
        """Return what a stage of 1, 2, ... layers does once per step under the common state option."""
        once: Floats = self._once_table(common.layout, common.work, kind, end)[common.state]
        return once

    def _once_table(self, layout: int, work: int, kind: int, end: str) -> Floats:
        """Return shown traffic and optimizer, shape (state options, layer counts), not falling along the latter."""
        key = (layout, work, kind, end)
        if key not in self._once:
            exposed, step = self._exposed(Common(layout, work, 0), kind, end)
            total = exposed[:, :, None] + (step.optimizer + step.offload)[..., None, None]
            total = np.broadcast_to(total, (len(total), *self.options.state_shape)).reshape(len(total), -1)
            self._once[key] = np.maximum.accumulate(total + fixed_seconds(self.pools[kind].problem), axis=0).T
        return self._once[key]

    @property
    def straggling(self) -> float:
        """The factor by which waiting for the slowest node stretches a step; the same for every plan."""
        strictest = min((pool.problem for pool in self.pools), key=lambda problem: problem.device.gpus_per_node)
        return float(straggling(strictest, self.layouts.take(slice(0, 1)))[0])

    def once_parts(self, common: Common, kinds: Ints, stage: int, layers: int) -> tuple[float, float, float]:
        """Return exposed data-parallel traffic, optimizer and offload of one stage, seconds."""
        kind = int(kinds[stage])
        exposed, step = self._exposed(common, kind, self._end(stage, len(kinds)))
        sharding, share, reduce, gather = np.unravel_index(common.state, self.options.state_shape)
        at = layers - 1
        return (
            float(exposed[at, sharding, reduce, gather]),
            float(step.optimizer[at, sharding, share]),
            float(step.offload[at, sharding, share]),
        )

    def _step(self, layout: int, kind: int, end: str) -> StepTimes:
        key = (layout, kind, end)
        if key not in self._steps:
            row = self.layouts.take(slice(layout, layout + 1))
            self._steps[key] = once_seconds(self.pools[kind].problem, row, self.options, end)
        return self._steps[key]

    def _exposed(self, common: Common, kind: int, end: str) -> tuple[Floats, StepTimes]:
        """Return shown traffic, (layer counts, shardings, reduce overlaps, gather overlaps), and the step's times."""
        problem, step = self.pools[kind].problem, self._step(common.layout, kind, end)
        tables, shown = self.tables[kind], exposed_share(problem)
        window = problem.device.calibration.overlap_window * np.arange(1, self.layer_count + 1)[:, None, None]
        backward = window * tables.backward[common.layout, common.work]
        forward = window * tables.forward[common.layout, common.work]
        reduce, gather = step.reduce[:, :, None], step.gather[:, :, None]
        floor = np.where(self.options.grad_reduce_overlap, shown, 1.0) * reduce
        reduced = np.maximum(reduce - backward, floor)
        floor = np.where(self.options.param_gather_overlap, shown, 1.0) * gather
        gathered = np.maximum(gather - forward, floor)
        return reduced[..., None] + gathered[:, :, None, :], step

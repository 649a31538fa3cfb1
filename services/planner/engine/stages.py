"""Which layers a pipeline stage holds and how many micro-batches it keeps alive."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import permutations
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.space.pipelines import SCHEDULES

if TYPE_CHECKING:
    from planner.engine.model import Architecture
    from planner.engine.space import Layouts, Recompute
    from planner.engine.types import Bools, Floats, Ints

INTERLEAVED = SCHEDULES.index("interleaved")


@dataclass(frozen=True, slots=True)
class Stages:
    """Columns of shape (layouts, stages considered)."""

    index: Ints
    layers: Ints
    dense_layers: Floats
    moe_layers: Floats
    chunk_layers: Ints
    first: Bools
    last: Bools
    in_flight: Floats

    def take(self, rows: Ints) -> Self:
        """Return the chosen layouts."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))

    def columns(self, kept: Bools) -> Self:
        """Return the chosen stages."""
        return type(self)(*(getattr(self, column.name)[:, kept] for column in fields(self)))

    def undominated(self) -> Bools:
        """Return which stages may be the fullest, shape (layouts, stages considered).

        A stage of the same layers as another, without ends the other has not, in flight no more, never holds more.
        """
        count = self.index.shape[1]
        kept = np.ones(self.index.shape, np.bool_)
        for one, other in permutations(range(count), 2):
            kept[:, one] &= ~(self._holds_no_more(one, other) & kept[:, other])
        return kept

    def _holds_no_more(self, one: int, other: int) -> Bools:
        alike = (self.layers[:, one] == self.layers[:, other]) & (self.moe_layers[:, one] == self.moe_layers[:, other])
        ends = (self.first[:, one] <= self.first[:, other]) & (self.last[:, one] <= self.last[:, other])
        less: Bools = alike & ends & (self.in_flight[:, one] <= self.in_flight[:, other])
        return less


def candidate_stages(architecture: Architecture, layouts: Layouts) -> Stages:
    """Return the stages of which one is always the slowest and one the fullest.

    The first (embedding, most micro-batches in flight), the second (a full middle stage), the first without leading
    dense layers, and the last (loss). Stages between them differ only by holding fewer micro-batches.
    """
    last = layouts.pipeline - 1
    columns = [np.zeros_like(last), np.minimum(1, last)]
    if architecture.is_moe and architecture.dense_layers:
        chunk = np.maximum(layouts.middle_layers // layouts.virtual, 1)
        first_chunk = layouts.first_layers // layouts.virtual
        columns.append(np.minimum(1 - (first_chunk - architecture.dense_layers) // chunk, last).clip(0))
    columns.append(last)
    return stages_at(architecture, layouts, np.stack(columns, axis=1).astype(np.int32))


def all_stages(architecture: Architecture, layouts: Layouts) -> Stages:
    """Return every stage of layouts that share one pipeline degree."""
    count = int(layouts.pipeline[0])
    index = np.broadcast_to(np.arange(count, dtype=np.int32), (len(layouts), count))
    return stages_at(architecture, layouts, index)


def stages_at(architecture: Architecture, layouts: Layouts, index: Ints) -> Stages:
    """Return the stages at `index`, shape (layouts, stages considered)."""
    first, last = index == 0, index == layouts.pipeline[:, None] - 1
    layers = np.where(
        first,
        layouts.first_layers[:, None],
        np.where(last, layouts.last_layers[:, None], layouts.middle_layers[:, None]),
    )
    chunk = -(-layers // layouts.virtual[:, None])
    moe = (layers - _leading_dense_layers(architecture, layouts, index, layers)) / architecture.moe_period
    return Stages(
        index=index,
        layers=layers,
        dense_layers=layers - moe,
        moe_layers=moe,
        chunk_layers=chunk,
        first=first,
        last=last,
        in_flight=_in_flight(layouts, index),
    )


def _leading_dense_layers(architecture: Architecture, layouts: Layouts, index: Ints, layers: Ints) -> Ints:
    """Leading dense layers fill the chunks in the order tokens pass them.

    All stages' first chunks, then the second ones.
    """
    if not architecture.is_moe:
        return layers
    virtual = layouts.virtual[:, None]
    first, middle = layouts.first_layers[:, None] // virtual, layouts.middle_layers[:, None] // virtual
    own = layers // virtual
    turn = architecture.layers // virtual
    offset = np.where(index == 0, 0, first + (index - 1) * middle)
    turns, rest = np.divmod(architecture.dense_layers, np.maximum(turn, 1))
    dense: Ints = turns * own + np.clip(rest - offset, 0, own)
    return dense


def _in_flight(layouts: Layouts, index: Ints) -> Floats:
    """Micro-batches whose activations a stage holds at its peak; a stage of v chunks counts each chunk as 1/v.

    1F1B and ZB-H1 hold min(K, p - i); interleaved holds 2 (p - i - 1) + (v - 1) p + 1 chunks (Narayanan et al. 2021).
    """
    pipeline, virtual, micro_batches = (
        column[:, None].astype(np.int64) for column in (layouts.pipeline, layouts.virtual, layouts.micro_batches)
    )
    chunks = 2 * (pipeline - index - 1) + (virtual - 1) * pipeline + 1
    interleaved = np.minimum(chunks, micro_batches * virtual) / virtual
    plain = np.minimum(micro_batches, pipeline - index)
    held: Floats = np.where((layouts.schedule == INTERLEAVED)[:, None], interleaved, plain)
    return held


def recomputed_layers(stages: Stages, virtual: Ints, settings: tuple[Recompute, ...]) -> Floats:
    """Layers of each stage recomputed in full, shape (layouts, stages, settings).

    A share of every chunk, rounded up.
    """
    share = np.array([setting.share for setting in settings])
    exact = np.array([setting.layers or 0 for setting in settings])
    chunk = stages.chunk_layers[:, :, None]
    per_chunk = np.where(exact > 0, np.minimum(exact * (share > 0), chunk), np.ceil(share * chunk))
    return np.minimum(per_chunk * virtual[:, None, None], stages.layers[:, :, None])

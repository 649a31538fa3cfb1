"""Pipeline shapes: how layers are dealt to stages and model chunks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.engine.types import Ints

SCHEDULES = ("1f1b", "interleaved", "zero_bubble")
SPLITS = ("even", "embedding", "loss", "embedding_and_loss", "layout")
ENDS = 2
MOST_CHUNKS = 128
_BEFORE = {"even": 0, "embedding": 1, "loss": 0, "embedding_and_loss": 1}
_AFTER = {"even": 0, "embedding": 0, "loss": 1, "embedding_and_loss": 1}


@dataclass(frozen=True, slots=True)
class PipelineShapes:
    """Columns of pipeline shapes: stages, chunks per stage, schedule and split codes, layers of the stages."""

    stages: Ints
    chunks: Ints
    schedule: Ints
    split: Ints
    first_layers: Ints
    middle_layers: Ints
    last_layers: Ints

    def __len__(self) -> int:
        return len(self.stages)


def deal_layers(layers: int, stages: int, chunks: int, split: str, extra: int = 0) -> tuple[int, int, int] | None:
    """Deal `layers` to stages: (first, each middle, last), or None when `split` does not divide.

    `embedding` and `loss` count as one layer each when the split says so (Megatron-LM's --account-for-embedding- and
    --account-for-loss-in-pipeline-split). `layout` rounds the chunk up and takes what is over from the ends
    (--pipeline-model-parallel-layout); `extra` are prediction layers that stand before the loss.
    """
    if stages == 1:
        return (layers, 0, 0) if split == "even" and chunks == 1 else None
    slots = stages * chunks
    if split == "layout":
        return _deal_uneven(layers, stages, chunks, extra)
    before, after = _BEFORE[split], _AFTER[split]
    units = layers + before + after
    if units % slots:
        return None
    middle = units // stages
    return _sizes(stages, middle - before, middle, middle - after)


def _deal_uneven(layers: int, stages: int, chunks: int, extra: int) -> tuple[int, int, int] | None:
    units = layers + 2 + extra
    middle = -(-units // (stages * chunks)) * chunks
    slack = middle * stages - units
    first = middle - 1 - slack // 2
    last = middle - 1 - extra - (slack - slack // 2)
    return _sizes(stages, first, middle, last)


def _sizes(stages: int, first: int, middle: int, last: int) -> tuple[int, int, int] | None:
    """Two stages have no middle; saying 0 makes equal deals equal."""
    return (first, middle if stages > ENDS else 0, last) if min(first, last) >= 0 else None


@lru_cache(maxsize=64)
def pipeline_shapes(
    layers: int,
    stages: tuple[int, ...],
    chunks: tuple[int, ...] | None,
    schedules: tuple[str, ...],
    splits: tuple[str, ...],
    extra: int,
) -> PipelineShapes:
    """Every pipeline shape over `stages`.

    Chunk counts default to every one that divides, and of those that do not to the least for each length of a chunk.
    """
    rows = [row for count in stages for row in _rows(layers, count, chunks, schedules, splits, extra)]
    columns = np.array(rows, dtype=np.int32).reshape(-1, 7).T
    columns.flags.writeable = False
    return PipelineShapes(*columns)


def _rows(
    layers: int,
    stages: int,
    chunks: Sequence[int] | None,
    schedules: Sequence[str],
    splits: Sequence[str],
    extra: int,
) -> Iterator[tuple[int, ...]]:
    most = min(-(-(layers + 2) // stages), MOST_CHUNKS) if stages > 1 else 1
    shortest, shortest_of = layers + 1, dict[tuple[int, int, int], int]()
    for count in sorted(set(chunks)) if chunks else range(1, most + 1):
        seen: set[tuple[int, int, int]] = set()
        for split in (split for split in SPLITS if split in splits):
            sizes = deal_layers(layers, stages, count, split, extra)
            if sizes is None or sizes in seen or (split == "layout" and (seen or not is_smooth(stages))):
                continue
            chunk = -(-max(sizes) // count)
            before = shortest if split == "layout" else shortest_of.get(sizes, layers + 1)
            if not chunks and chunk >= before:
                continue
            seen.add(sizes)
            shortest_of[sizes], shortest = chunk, min(chunk, shortest)
            for schedule in _schedules(stages, count, schedules):
                yield (stages, count, SCHEDULES.index(schedule), SPLITS.index(split), *sizes)


def _schedules(stages: int, chunks: int, allowed: Sequence[str]) -> list[str]:
    possible = ("interleaved",) if chunks > 1 else ("1f1b", "zero_bubble") if stages > 1 else ("1f1b",)
    return [name for name in possible if name in allowed]


def is_smooth(stages: int) -> bool:
    """Whether stages tile nodes and networks evenly: products of twos and threes."""
    for factor in (2, 3):
        while stages % factor == 0:
            stages //= factor
    return stages == 1

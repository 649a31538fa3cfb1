"""Pipeline schedules, operation by operation: what each stage runs, in which order, and when.

1F1B and interleaved 1F1B as Megatron-Core orders them (Narayanan et al. 2021, arXiv 2104.04473). ZB-H1 splits the
backward pass and lets stage i run its weight gradients i micro-batches late (Qi et al. 2023, arXiv 2401.10241).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind = Literal["forward", "backward", "weight"]


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Seconds per micro-batch of one stage, all its chunks together. `weight` is part of `backward`."""

    forward: float
    backward: float
    weight: float


@dataclass(frozen=True, slots=True)
class Operation:
    """One pass of one micro-batch through one chunk of a stage, and when it runs."""

    stage: int
    kind: Kind
    micro_batch: int
    chunk: int
    start_seconds: float
    seconds: float


Step = tuple[Kind, int, int]


def simulate(
    stages: Sequence[StageSeconds], schedule: str, chunks: int, micro_batches: int, transfers: Sequence[float] = ()
) -> list[Operation]:
    """Return every operation of one step, ascending by start.

    `transfers[i]` is the seconds of one transfer between stage i and the next, the last one's to the first.
    `micro_batches` must be a multiple of the stages when `schedule` is `interleaved`.
    """
    orders = [list(_order(schedule, stage, len(stages), chunks, micro_batches)) for stage in range(len(stages))]
    finished: dict[tuple[int, Step], float] = {}
    clocks, positions = [0.0] * len(stages), [0] * len(stages)
    operations: list[Operation] = []
    remaining = sum(len(order) for order in orders)
    while remaining:
        before = remaining
        for stage, order in enumerate(orders):
            while positions[stage] < len(order):
                step = order[positions[stage]]
                ready = _ready(finished, stage, step, len(stages), chunks, transfers)
                if ready is None:
                    break
                start = max(clocks[stage], ready)
                seconds = _seconds(stages[stage], step[0], chunks, split=schedule == "zero_bubble")
                finished[stage, step] = clocks[stage] = start + seconds
                operations.append(Operation(stage, *step, start, seconds))
                positions[stage] += 1
                remaining -= 1
        if remaining == before:
            raise ValueError(f"{schedule} with {micro_batches} micro-batches over {len(stages)} stages never ends")
    return sorted(operations, key=lambda operation: (operation.start_seconds, operation.stage))


def _seconds(stage: StageSeconds, kind: Kind, chunks: int, *, split: bool) -> float:
    whole = {
        "forward": stage.forward,
        "backward": stage.backward - (stage.weight if split else 0.0),
        "weight": stage.weight,
    }
    return whole[kind] / chunks


def _ready(
    finished: dict[tuple[int, Step], float], stage: int, step: Step, count: int, chunks: int, transfers: Sequence[float]
) -> float | None:
    """Return when the step's input is there: None while what it waits for has not run."""
    kind, micro_batch, chunk = step
    if kind == "weight":
        return finished.get((stage, ("backward", micro_batch, chunk)))
    position = chunk * count + stage
    if kind == "forward":
        taken = transfers[(stage - 1) % count] if transfers else 0.0
        return 0.0 if position == 0 else _arrival(finished, position - 1, "forward", micro_batch, count, taken)
    if position == count * chunks - 1:
        return finished.get((stage, ("forward", micro_batch, chunk)))
    taken = transfers[stage] if transfers else 0.0
    return _arrival(finished, position + 1, "backward", micro_batch, count, taken)


def _arrival(
    finished: dict[tuple[int, Step], float], position: int, kind: Kind, micro_batch: int, count: int, transfer: float
) -> float | None:
    chunk, stage = divmod(position, count)
    done = finished.get((stage, (kind, micro_batch, chunk)))
    return None if done is None else done + transfer


def _order(schedule: str, stage: int, count: int, chunks: int, micro_batches: int) -> Iterator[Step]:
    total = micro_batches * chunks
    if schedule == "interleaved":
        warmup = min(2 * (count - stage - 1) + (chunks - 1) * count, total)
    else:
        warmup = min(count - stage - 1, total)
    forward: list[Step] = [("forward", *_unit(index, count, chunks)) for index in range(total)]
    backward: list[Step] = [("backward", *_unit(index, count, chunks, reverse=True)) for index in range(total)]
    lag = stage if schedule == "zero_bubble" else None
    yield from _merged(forward, backward, warmup, lag)


def _unit(index: int, count: int, chunks: int, *, reverse: bool = False) -> tuple[int, int]:
    """Return the (micro-batch, chunk) of the index-th pass: `count` micro-batches go through chunk after chunk."""
    if chunks == 1:
        return index, 0
    group, within = divmod(index, count * chunks)
    chunk, offset = divmod(within, count)
    return group * count + offset, chunks - 1 - chunk if reverse else chunk


def _merged(forward: list[Step], backward: list[Step], warmup: int, lag: int | None) -> Iterator[Step]:
    yield from forward[:warmup]
    owed: list[Step] = []
    for index, back in enumerate(backward):
        if warmup + index < len(forward):
            yield forward[warmup + index]
        yield back
        if lag is not None:
            owed.append(("weight", back[1], back[2]))
            if len(owed) > lag:
                yield owed.pop(0)
    yield from owed

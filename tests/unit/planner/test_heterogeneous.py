from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engine import (
    ExplicitModel,
    HeterogeneousCluster,
    HomogeneousCluster,
    InvalidRequest,
    LinkOverrides,
    PresetModel,
    SearchOptions,
    Space,
    Workload,
    search,
)
from planner.engine.hardware import resolve_device
from planner.engine.heterogeneous import Pool, find_mix
from planner.engine.heterogeneous.assign import Stages, assign
from planner.engine.heterogeneous.compositions import Offsets, Relaxed, ascending, fastest_first, relax
from planner.engine.heterogeneous.pricing import Common
from planner.engine.heterogeneous.search import Standing
from planner.engine.inputs import resolve_model
from planner.engine.problems import problem_of

MODEL = ExplicitModel(layers=6, hidden_size=1024, heads=8, kv_heads=4, ffn_size=4096, vocab_size=32000)
WORKLOAD = Workload(global_batch_size=16, sequence_length=1024)
NARROW = Space(
    tensor_parallel=[1, 2],
    context_parallel=[1],
    micro_batch_size=[1, 2],
    sequence_parallel=[False, True],
    tp_overlap=[False],
    recompute_modules=["mlp"],
    sharding=["none", "zero1"],
    optimizer_offload=[0.0],
    context_comm=["p2p"],
)


def step_seconds(stages: Stages, layers: tuple[int, ...], micro_batches: int) -> float:
    """The objective, spelt out."""
    if any(n < 1 or n > most for n, most in zip(layers, stages.most, strict=True)):
        return float("inf")
    times = [offset + n * slope for n, slope, offset in zip(layers, stages.slope, stages.offset, strict=True)]
    once = max(float(stages.once[i, n - 1]) for i, n in enumerate(layers))
    return sum(times) + (micro_batches - 1) * max(times) + once


def every_deal(layers: int, stages: int) -> list[tuple[int, ...]]:
    return [deal for deal in product(range(1, layers + 1), repeat=stages) if sum(deal) == layers]


@st.composite
def pipelines(draw: st.DrawFn) -> tuple[Stages, int, int]:
    count, layers = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    times = st.integers(1, 20).map(float)
    slopes = draw(st.lists(times, min_size=count, max_size=count))
    offsets = draw(st.lists(st.integers(0, 30).map(float), min_size=count, max_size=count))
    most = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    steps = draw(
        st.lists(st.lists(st.integers(0, 15), min_size=layers, max_size=layers), min_size=count, max_size=count)
    )
    once = np.cumsum(np.array(steps, float), axis=1)
    stages = Stages(np.array(slopes), np.array(offsets), np.array(most), once)
    return stages, layers, draw(st.integers(1, 9))


@settings(max_examples=1000, deadline=None)
@given(pipelines())
def test_the_assignment_is_the_best_of_all(case: tuple[Stages, int, int]) -> None:
    stages, layers, micro_batches = case
    times = [step_seconds(stages, deal, micro_batches) for deal in every_deal(layers, len(stages.slope))]
    best = min(times, default=float("inf"))
    found = assign(stages, layers, micro_batches)
    if found is None:
        assert best == float("inf")
        return
    assert found.seconds == pytest.approx(best)
    assert found.layers.sum() == layers
    assert step_seconds(stages, tuple(found.layers.tolist()), micro_batches) <= found.seconds * (1 + 1e-9)
    assert assign(stages, layers, micro_batches, bar=best) is None


@settings(max_examples=200, deadline=None)
@given(
    slopes=st.lists(st.integers(1, 9).map(float), min_size=1, max_size=3),
    limits=st.lists(st.integers(0, 4), min_size=3, max_size=3),
    count=st.integers(1, 4),
    layers=st.integers(4, 7),
    offset=st.integers(0, 5),
    micro_batches=st.integers(1, 6),
)
def test_compositions_come_by_ascending_bounds_of_their_best_assignments(
    slopes: list[float], limits: list[int], count: int, layers: int, offset: int, micro_batches: int
) -> None:
    slope, room = np.array(slopes), np.array(limits[: len(slopes)])
    if room.sum() < count:
        return
    offsets = Offsets(np.array([float(offset)]), np.array([float(offset * count)]))

    def relaxed(ways: np.ndarray) -> Relaxed:
        return relax(ways, np.broadcast_to(slope, ways.shape), layers, np.array([micro_batches]), offsets)

    first = fastest_first(slope[None], room[None], np.array([count]))[0]
    ways = list(ascending(first, slope, room, relaxed, layers))
    every = [way for way in product(*(range(most + 1) for most in room)) if sum(way) == count]
    assert sorted(tuple(way.stages.tolist()) for way in ways) == sorted(every)
    bounds = [way.least for way in ways]
    assert bounds == pytest.approx(sorted(bounds))
    for way in ways:
        kinds = np.repeat(np.arange(len(slope)), way.stages)
        stages = Stages(slope[kinds], np.full(count, float(offset)), np.full(count, layers), np.zeros((count, layers)))
        found = assign(stages, layers, micro_batches)
        assert found is not None
        assert way.least == pytest.approx(found.seconds)
        assert way.by_fullest[found.layers.max() - 1 :].min() >= way.least


def pools(total: int, limits: dict[str, int], memory_gib: float) -> list[Pool]:
    links = LinkOverrides(memory_gib=memory_gib, gpus_per_node=2)
    devices = [resolve_device(name, links, field="gpu") for name in limits]
    architecture = resolve_model(MODEL)
    problems = [problem_of(architecture, WORKLOAD, device, total, "fp16", "unfused") for device in devices]
    return [Pool(problem, limit, None) for problem, limit in zip(problems, limits.values(), strict=True)]


@settings(max_examples=25, deadline=None)
@given(
    total=st.sampled_from([2, 4, 6]),
    limits=st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 4)),
    memory=st.floats(2.05, 6),
)
def test_the_mix_is_the_best_of_all_mixes(total: int, limits: tuple[int, int, int], memory: float) -> None:
    named = dict(zip(["v100", "a100", "h100"], limits, strict=True))
    mixed = pools(total, {name: max(limit, 1) for name, limit in named.items()}, memory)
    found = find_mix(mixed, SearchOptions(space=NARROW, top_k=1), [])
    best = float("inf")
    pricing = found.pricing
    standing = Standing.of(found.admission)
    for layout, work, state in zip(*np.nonzero(standing.points[standing.kind]), strict=True):
        common = Common(int(layout), int(work), int(state))
        count = pricing.stages(common)
        if count > pricing.layer_count:
            continue
        room = pricing.limits[common.layout]
        sequences = {
            kinds
            for order in permutations(range(3))
            for kinds in product(range(3), repeat=count)
            if list(kinds) == sorted(kinds, key=order.index) and all(kinds.count(k) <= room[k] for k in range(3))
        }
        for kinds in sequences:
            stages = pricing.pipeline(common, np.array(kinds))
            deals = every_deal(pricing.layer_count, count)
            best = min([best, *(step_seconds(stages, deal, pricing.micro_batches(common)) for deal in deals)])
    assert (found.best[0].seconds if found.best else float("inf")) == pytest.approx(best)


def cluster(total: int, limits: dict[str, int]) -> HeterogeneousCluster:
    return HeterogeneousCluster(mode="heterogeneous", total=total, limits=limits)


def test_a_mix_beats_none_of_its_types_alone_and_adds_up() -> None:
    model = PresetModel(preset="llama-2-7b")
    workload = Workload(global_batch_size=256, sequence_length=4096, tokens=1e9)
    plan = search(model, workload, cluster(16, {"a100": 8, "H100": 8}))
    best = plan.best
    assert best is not None
    assert plan.mode == "heterogeneous"
    assert best.assignment is not None
    assert sum(sum(run.layers) for run in best.assignment) == 32
    assert {run.gpu for run in best.assignment} == {"a100-80gb-sxm", "h100-80gb-sxm"}
    fast = next(run for run in best.assignment if run.gpu.startswith("h100"))
    slow = next(run for run in best.assignment if run.gpu.startswith("a100"))
    assert min(fast.layers) >= max(slow.layers)
    parts = best.estimate.breakdown.model_dump()
    assert sum(parts.values()) == pytest.approx(best.estimate.iteration_seconds)
    assert all(seconds >= -1e-9 for seconds in parts.values())
    assert best.cost is not None
    assert best.cost.gpus == 16
    assert len(best.estimate.memory.stages) == best.strategy.pipeline_parallel
    assert best.estimate.memory.peak <= best.estimate.memory.capacity


def test_one_type_in_the_mix_is_the_homogeneous_answer() -> None:
    model, workload = PresetModel(preset="llama-2-7b"), Workload(global_batch_size=64, sequence_length=2048)
    alone = search(model, workload, cluster(8, {"a100": 8}))
    plain = search(model, workload, HomogeneousCluster(gpu="a100", count=8))
    assert alone.best is not None
    assert plain.best is not None
    assert alone.best.estimate.iteration_seconds <= plain.best.estimate.iteration_seconds


def test_nothing_fits_is_an_answer() -> None:
    plan = search(PresetModel(preset="gpt-3-175b"), WORKLOAD, cluster(4, {"a10": 2, "l40s": 2}))
    assert plan.best is None
    assert plan.reasons


def test_a_type_named_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a second time"):
        search(PresetModel(preset="llama-2-7b"), WORKLOAD, cluster(4, {"a100": 2, "A100-80GB": 2}))

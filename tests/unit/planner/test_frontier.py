from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engine import (
    CostCluster,
    ExplicitModel,
    InvalidRequest,
    PresetModel,
    SearchOptions,
    Space,
    Workload,
    search,
)
from planner.engine.frontier import Offer, find_front
from planner.engine.hardware import resolve_device
from planner.engine.homogeneous import find
from planner.engine.inputs import LinkOverrides, resolve_model
from planner.engine.pareto import pareto, undominated
from planner.engine.problems import problem_of
from planner.engine.rules import Rule

MODEL = ExplicitModel(layers=6, hidden_size=1024, heads=8, kv_heads=4, ffn_size=4096, vocab_size=32000)
NODES = Rule("nodes", "gpus <= gpus_per_node or gpus % gpus_per_node == 0", "whole nodes")
NARROW = Space(
    tensor_parallel=[1, 2],
    context_parallel=[1],
    micro_batch_size=[1, 2],
    virtual_pipeline=[1, 2],
    recompute_modules=["mlp"],
    optimizer_offload=[0.0],
)
points = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=12)


def dominates(left: tuple[float, float], right: tuple[float, float]) -> bool:
    return left != right and left[0] <= right[0] and left[1] <= right[1]


@given(points)
def test_the_pareto_set_is_what_nothing_beats(case: list[tuple[int, int]]) -> None:
    time, money = (np.array([point[axis] for point in case], float) for axis in (0, 1))
    kept = pareto(time, money)
    found = [case[row] for row in kept]
    assert set(found) == {point for point in case if not any(dominates(other, point) for other in case)}
    assert len(set(found)) == len(found)
    assert found == sorted(found)


@given(points, points)
def test_undominated_agrees_with_comparing_each_with_each(
    front: list[tuple[int, int]], others: list[tuple[int, int]]
) -> None:
    columns = [np.array([point[axis] for point in front], float) for axis in (0, 1)]
    kept = pareto(*columns)
    asked = [np.array([point[axis] for point in others], float) for axis in (0, 1)]
    answers = undominated(*asked, *(column[kept] for column in columns))
    expected = [not any(f[0] <= point[0] and f[1] <= point[1] for f in front) for point in others]
    assert answers.tolist() == expected


@settings(max_examples=8, deadline=None)
@given(
    batch=st.sampled_from([4, 6, 8, 12]),
    most=st.sampled_from([2, 5, 8, 16]),
    memory=st.floats(2.1, 6),
    prices=st.tuples(st.floats(0.1, 9), st.floats(0.1, 9)),
)
def test_the_front_is_that_of_searching_every_count(
    batch: int, most: int, memory: float, prices: tuple[float, float]
) -> None:
    workload = Workload(global_batch_size=batch, sequence_length=1024)
    links = LinkOverrides(memory_gib=memory)
    architecture = resolve_model(MODEL)
    devices = [resolve_device(name, links, field="gpu") for name in ("a100", "h100")]
    options = SearchOptions(space=NARROW, top_k=1)
    offers, times, money = [], [], []
    for device, price in zip(devices, prices, strict=True):
        offers.append(Offer(problem_of(architecture, workload, device, most, "bf16", "flash"), price))
        for count in range(1, most + 1):
            best = find(problem_of(architecture, workload, device, count, "bf16", "flash"), options, [NODES]).best
            if len(best):
                times.append(best.seconds[0])
                money.append(best.seconds[0] * count * price)
    front = find_front(offers, options, [])
    kept = pareto(np.array(times), np.array(money))
    assert front.seconds == pytest.approx(np.array(times)[kept])
    assert front.dollars == pytest.approx(np.array(money)[kept])


def cost(**changes: object) -> CostCluster:
    return CostCluster.model_validate({"mode": "cost", "gpus": ["h100", "a100"], "max_count": 64} | changes)


LLAMA = PresetModel(preset="llama-2-7b")
WORKLOAD = Workload(global_batch_size=64, sequence_length=2048, tokens=1e10)


def test_the_frontier_trades_money_for_time() -> None:
    plan = search(LLAMA, WORKLOAD, cost())
    money = [point.cost.usd for point in plan.frontier if point.cost]
    times = [point.estimate.iteration_seconds for point in plan.frontier]
    assert len(money) == len(plan.frontier) > 1
    assert money == sorted(money, reverse=True)
    assert times == sorted(times)
    assert plan.best == plan.candidates[0] == plan.frontier[0]


def test_limits_choose_on_the_frontier() -> None:
    frontier = search(LLAMA, WORKLOAD, cost()).frontier
    middle = frontier[len(frontier) // 2]
    assert middle.cost
    limited = search(LLAMA, WORKLOAD, cost(max_money=middle.cost.usd))
    assert limited.best == middle
    cheapest = search(LLAMA, WORKLOAD, cost(deadline_hours=middle.estimate.hours), objective="money")
    assert cheapest.best == middle
    neither = search(LLAMA, WORKLOAD, cost(max_money=0.01))
    assert neither.best is None
    assert neither.frontier
    assert neither.reasons[0].rule == "limits"


@pytest.mark.parametrize(
    ("workload", "cluster", "field"),
    [
        (WORKLOAD.model_copy(update={"tokens": None}), cost(), "workload.tokens"),
        (WORKLOAD, cost(gpus=["mi300x"]), "cluster.gpus"),
        (WORKLOAD, cost(spot=True), "cluster.gpus"),
        (WORKLOAD, cost(prices={"h999": 1}), "cluster.prices"),
        (WORKLOAD, cost(gpus=["h100", "h100-80gb"]), "cluster.gpus.h100-80gb"),
    ],
)
def test_what_cannot_be_priced_is_refused(workload: Workload, cluster: CostCluster, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        search(LLAMA, workload, cluster)
    assert caught.value.field == field


def test_own_prices_override_the_catalogue() -> None:
    plan = search(LLAMA, WORKLOAD, cost(gpus=["mi300x"], prices={"MI300X": 2.5}))
    assert plan.best is not None
    assert plan.best.cost is not None
    assert plan.best.cost.prices == {"mi300x-192gb": 2.5}

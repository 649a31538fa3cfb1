"""A search split into shares is the search; one that stops early says how far it may be from the best."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engine import (
    CostCluster,
    ExplicitModel,
    HeterogeneousCluster,
    HomogeneousCluster,
    LinkOverrides,
    Part,
    PlanResult,
    SearchOptions,
    Share,
    Space,
    Workload,
    answer,
    ask,
    search,
    search_share,
)
from planner.engine.inputs import Cluster
from planner.engine.parts import join

DENSE = ExplicitModel(layers=6, hidden_size=1024, heads=8, kv_heads=4, ffn_size=4096, vocab_size=32000)
MIXTURE = ExplicitModel(
    layers=4,
    hidden_size=1024,
    heads=8,
    ffn_size=4096,
    vocab_size=32000,
    experts=8,
    experts_per_token=2,
    expert_ffn_size=512,
    dense_layers=1,
)
NARROW = Space(
    tensor_parallel=[1, 2, 4],
    context_parallel=[1],
    micro_batch_size=[1, 2],
    expert_tensor_parallel=[1],
    virtual_pipeline=[1, 2],
    recompute_modules=["mlp"],
    optimizer_offload=[0.0],
    sharding=["none", "zero1"],
)


def clusters(memory_gib: float) -> dict[str, Cluster]:
    links = LinkOverrides(memory_gib=memory_gib)
    both = {"a100-80gb-sxm": links, "h100-80gb-sxm": links}
    return {
        "homogeneous": HomogeneousCluster(gpu="a100-80gb-sxm", count=8, links=links),
        "heterogeneous": HeterogeneousCluster(mode="heterogeneous", total=8, limits=dict.fromkeys(both, 6), links=both),
        "alone": HeterogeneousCluster(mode="heterogeneous", total=4, limits=dict.fromkeys(both, 4), links=both),
        "cost": CostCluster(mode="cost", gpus=list(both), max_count=16, links=both),
    }


def question(cluster: Cluster, model: ExplicitModel, **options: Any) -> Any:
    workload = Workload(global_batch_size=32, sequence_length=1024, tokens=1e9)
    return ask(model, workload, cluster, SearchOptions(space=NARROW, **options))


def told(plan: PlanResult) -> dict[str, Any]:
    """The answer without the work it took."""
    body = plan.model_dump(mode="json")
    work = ["evaluated", "seconds"] + (["after_memory"] if plan.mode == "cost" else [])
    for name in work:
        del body["search"][name]
    return body


@pytest.mark.parametrize("rule", ["false", "tensor_parallel > 1000", "recompute == 'none' and recompute == 'full'"])
@pytest.mark.parametrize("kind", ["homogeneous", "heterogeneous", "alone", "cost"])
def test_rules_that_nothing_satisfies_are_an_answer(kind: str, rule: str) -> None:
    workload = Workload(global_batch_size=32, sequence_length=1024, tokens=1e9)
    plan = search(DENSE, workload, clusters(20)[kind], SearchOptions(space=NARROW, rules=[rule]))
    assert plan.best is None
    assert plan.search.after_rules == 0
    assert any(reason.rule == "rules[0]" for reason in plan.reasons)


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["homogeneous", "heterogeneous", "alone", "cost"]),
    model=st.sampled_from([DENSE, MIXTURE]),
    memory=st.sampled_from([0.5, 1.2, 2.4, 4.0, 20.0]),
    count=st.integers(2, 7),
    top_k=st.sampled_from([1, 5, 40]),
    data=st.data(),
)
def test_parts_joined_in_any_order_and_grouping_are_the_whole(
    kind: str, model: ExplicitModel, memory: float, count: int, top_k: int, data: st.DataObject
) -> None:
    asked = question(clusters(memory)[kind], model, top_k=top_k)
    whole = answer(asked, [search_share(asked, Share())])
    order = data.draw(st.permutations(range(count)))
    parts = [search_share(asked, Share(index, count)) for index in order]
    travelled = [Part.model_validate(json.loads(part.model_dump_json())) for part in parts]
    cut = data.draw(st.integers(1, count - 1))
    halves = [join(travelled[:cut]), join(travelled[cut:])]
    assert told(answer(asked, halves)) == told(whole)


def test_more_shares_than_layouts_leave_some_empty() -> None:
    asked = question(clusters(20)["homogeneous"], DENSE)
    whole = search_share(asked, Share())
    count = whole.enumerated
    parts = [search_share(asked, Share(index, count)) for index in range(0, count, count // 50)]
    assert min(part.enumerated for part in parts) == 0


def after(calls: int) -> Iterator[float]:
    """A clock that stands still for some readings and then has passed every deadline."""
    return itertools.chain(itertools.repeat(0.0, calls), itertools.repeat(1e9))


def gap_of(plan: PlanResult) -> float:
    if plan.search.optimality == "exact":
        return 0.0
    stated = re.fullmatch(r"bounded\((.+)\)", plan.search.optimality)
    assert stated is not None
    return float(stated[1])


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["homogeneous", "heterogeneous", "cost"]),
    memory=st.sampled_from([1.2, 2.4, 20.0]),
    gap=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    readings=st.integers(1, 60),
    method=st.sampled_from(["bounded", "exhaustive"]),
)
def test_the_optimum_lies_within_the_gap_of_a_search_that_stops_early(
    kind: str, memory: float, gap: float, readings: int, method: str
) -> None:
    cluster = clusters(memory)[kind]
    best = answer(exact := question(cluster, DENSE, top_k=3), [search_share(exact, Share())])
    asked = question(cluster, DENSE, top_k=3, gap=gap, time_limit_seconds=1, method=method)
    with pytest.MonkeyPatch.context() as patch:
        clock = after(readings)
        patch.setattr("planner.engine.patience.time.monotonic", lambda: next(clock))
        early = answer(asked, [search_share(asked, Share())])
    assert (early.best is None) == (best.best is None)
    proven = 1.0 + gap_of(early) + 1e-9
    if early.search.optimality == "exact":
        assert [one.strategy for one in early.candidates] == [one.strategy for one in best.candidates]
    if best.best and early.best:
        assert early.best.estimate.iteration_seconds <= best.best.estimate.iteration_seconds * proven
    for point in best.frontier:
        assert point.cost
        assert any(
            near.cost
            and near.cost.usd <= point.cost.usd * proven
            and near.estimate.iteration_seconds <= point.estimate.iteration_seconds * proven
            for near in early.frontier
        )


def test_a_tolerated_gap_saves_work_and_is_kept() -> None:
    cluster = HomogeneousCluster(gpu="h100-80gb-sxm", count=512)
    workload = Workload(global_batch_size=1024, sequence_length=4096)
    model = ExplicitModel(layers=64, hidden_size=8192, heads=64, vocab_size=32000)
    exact = ask(model, workload, cluster)
    near = ask(model, workload, cluster, SearchOptions(gap=0.5))
    whole, early = (answer(one, [search_share(one, Share())]) for one in (exact, near))
    assert early.search.evaluated < whole.search.evaluated
    assert gap_of(early) <= 0.5
    assert whole.search.optimality == "exact"


def test_a_deadline_that_the_front_cannot_meet_is_no_proof_when_time_ran_out() -> None:
    cluster = CostCluster(mode="cost", gpus=["a100-80gb-sxm", "h100-80gb-sxm"], max_count=64)
    asked = question(cluster, DENSE)
    frontier = answer(asked, [search_share(asked, Share())]).frontier
    hours = min(one.estimate.hours or 0.0 for one in frontier)
    tight = question(cluster.model_copy(update={"deadline_hours": hours * 1.0001}), DENSE, time_limit_seconds=1)
    with pytest.MonkeyPatch.context() as patch:
        clock = after(1)
        patch.setattr("planner.engine.patience.time.monotonic", lambda: next(clock))
        early = answer(tight, [search_share(tight, Share())])
    assert early.best is not None or early.search.optimality == "bounded(inf)"

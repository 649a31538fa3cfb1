from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.engine import (
    ExplicitModel,
    HomogeneousCluster,
    InvalidRequest,
    LinkOverrides,
    PlanResult,
    PresetModel,
    SearchOptions,
    Space,
    Strategy,
    Workload,
    estimate,
    search,
)
from planner.engine.explain import rule_reasons
from planner.engine.plan import estimate_problem
from planner.engine.pricing import estimate_strategy
from planner.engine.space.codec import encode

LLAMA = PresetModel(preset="llama-2-7b")
WORKLOAD = Workload(global_batch_size=512, sequence_length=4096)
SMALL = ExplicitModel(layers=8, hidden_size=1024, heads=8, kv_heads=4, ffn_size=4096, vocab_size=32000)
MIXTURE = ExplicitModel(
    layers=6,
    hidden_size=1024,
    heads=8,
    kv_heads=8,
    ffn_size=4096,
    vocab_size=32000,
    experts=8,
    experts_per_token=2,
    expert_ffn_size=512,
    shared_ffn_size=512,
    dense_layers=1,
)
NARROW = Space(
    tensor_parallel=[1, 2],
    context_parallel=[1, 2],
    pipeline_parallel=[1, 2, 4],
    virtual_pipeline=[1, 2],
    expert_parallel=[1, 4],
    expert_tensor_parallel=[1],
    micro_batch_size=[1, 2],
    recompute_modules=["layernorm"],
    sharding=["none", "zero1", "zero3"],
    optimizer_offload=[0.0, 1.0],
)


def plan(model: object, gpus: int, batch: int, options: SearchOptions, memory_gib: float | None = None) -> PlanResult:
    links = LinkOverrides(memory_gib=memory_gib)
    cluster = HomogeneousCluster(gpu="a100", count=gpus, links=links)
    return search(model, Workload(global_batch_size=batch, sequence_length=1024), cluster, options)  # type: ignore[arg-type]


def every_strategy(space: Space, gpus: int, batch: int) -> list[Strategy]:
    """Spell out `space` as strategies, valid or not, whose degrees divide."""
    strategies = []
    recomputes = [{"recompute": "none"}, {"recompute": "full", "recompute_method": "uniform"}]
    recomputes += [{"recompute": "selective", "recompute_modules": ["layernorm"]}]
    degrees = product(
        space.tensor_parallel or [],
        space.context_parallel or [],
        space.pipeline_parallel or [],
        space.virtual_pipeline or [],
        space.expert_parallel or [],
        space.micro_batch_size or [],
    )
    for tensor, context, pipeline, virtual, expert, micro in degrees:
        model = tensor * context * pipeline
        if gpus % model or batch % (gpus // model * micro) or (virtual > 1 and pipeline == 1):
            continue
        schedules = ["interleaved"] if virtual > 1 else ["1f1b", "zero_bubble"] if pipeline > 1 else ["1f1b"]
        flags = product(*[[False, True]] * 2, [False], *[[False, True]] * 3)
        for schedule, (sp, overlap, offload, p2p, reduce, gather), recompute, sharding in product(
            schedules, flags, recomputes, space.sharding or []
        ):
            strategies.append(
                Strategy(
                    tensor_parallel=tensor,
                    context_parallel=context,
                    pipeline_parallel=pipeline,
                    virtual_pipeline=virtual,
                    expert_parallel=expert,
                    micro_batch_size=micro,
                    schedule=schedule,
                    sequence_parallel=sp,
                    tp_overlap=overlap,
                    activation_offload=offload,
                    p2p_overlap=p2p,
                    grad_reduce_overlap=reduce,
                    param_gather_overlap=gather,
                    sharding=sharding,
                    **recompute,
                )
            )
    return strategies


@pytest.mark.parametrize("model", [SMALL, MIXTURE])
@pytest.mark.parametrize("memory_gib", [80, 3.2])
def test_the_search_agrees_with_pricing_every_strategy_one_by_one(model: ExplicitModel, memory_gib: float) -> None:
    gpus, batch = 4, 8
    experts = [1, 4] if model is MIXTURE else [1]
    changes = {
        "context_parallel": [1],
        "context_comm": ["p2p"],
        "pipeline_parallel": [1, 2],
        "expert_parallel": experts,
    }
    space = NARROW.model_copy(update=changes | {"micro_batch_size": [2], "sharding": ["none", "zero3"]})
    rules = ["recompute_method != 'block'", "activation_offload == false", "optimizer_offload == 0"]
    found = plan(model, gpus, batch, SearchOptions(space=space, rules=rules, top_k=20), memory_gib)
    cluster = HomogeneousCluster(gpu="a100", count=gpus, links=LinkOverrides(memory_gib=memory_gib))
    workload = Workload(global_batch_size=batch, sequence_length=1024)
    times, valid = [], 0
    for strategy in every_strategy(space, gpus, batch):
        problem = estimate_problem(model, workload, cluster, strategy)
        try:
            broken = rule_reasons(problem, *encode(problem, strategy))
        except InvalidRequest:
            continue
        if broken:
            continue
        valid += 1
        priced = estimate_strategy(problem, strategy, None)
        if priced.feasible:
            times.append(priced.iteration_seconds)
    assert valid == found.search.after_rules
    assert len(times) == found.search.after_memory
    assert [c.estimate.iteration_seconds for c in found.candidates] == pytest.approx(sorted(times)[:20])
    assert all(candidate.estimate.feasible for candidate in found.candidates)


@settings(max_examples=15, deadline=None)
@given(
    gpus=st.sampled_from([1, 2, 4, 6, 8, 12, 16, 24]),
    batch=st.sampled_from([8, 12, 24, 32, 48]),
    memory=st.floats(2.1, 20),
    mixture=st.booleans(),
    rule=st.sampled_from(["true", "tensor_parallel <= 2", "recompute != 'none' or zero_stage == 1", "false"]),
    top_k=st.integers(1, 9),
)
def test_bounding_loses_nothing(gpus: int, batch: int, memory: float, mixture: bool, rule: str, top_k: int) -> None:
    model = MIXTURE if mixture else SMALL
    options = SearchOptions(space=NARROW, rules=[rule], top_k=top_k)
    try:
        bounded = plan(model, gpus, batch, options, memory)
    except InvalidRequest:
        return
    exhaustive = plan(model, gpus, batch, options.model_copy(update={"method": "exhaustive"}), memory)
    assert [c.strategy for c in bounded.candidates] == [c.strategy for c in exhaustive.candidates]
    assert exhaustive.search.evaluated == exhaustive.search.after_memory
    assert bounded.search.evaluated <= exhaustive.search.evaluated
    counts = bounded.search
    assert counts.enumerated == counts.after_rules + sum(counts.dropped.values())
    assert counts.enumerated == np.prod(list(counts.dimensions.values()))
    times = [candidate.estimate.iteration_seconds for candidate in bounded.candidates]
    assert times == sorted(times)
    assert len(times) == min(top_k, counts.after_memory)


@settings(max_examples=10, deadline=None)
@given(less=st.floats(2.1, 10), more=st.floats(0, 30), mixture=st.booleans())
def test_more_memory_never_hurts(less: float, more: float, mixture: bool) -> None:
    model = MIXTURE if mixture else SMALL
    options = SearchOptions(space=NARROW, top_k=1)
    tight, roomy = (plan(model, 8, 16, options, gib) for gib in (less, less + more))
    assert roomy.search.after_memory >= tight.search.after_memory
    if tight.best:
        assert roomy.best is not None
        assert roomy.best.estimate.iteration_seconds <= tight.best.estimate.iteration_seconds


def test_every_candidate_is_what_its_estimate_says() -> None:
    cluster = HomogeneousCluster(gpu="a100", count=64)
    found = search(LLAMA, WORKLOAD, cluster)
    assert len(found.candidates) == 5
    for candidate in found.candidates:
        priced = estimate(LLAMA, WORKLOAD, cluster, candidate.strategy)
        assert priced == candidate.estimate
        assert priced.iteration_seconds == pytest.approx(sum(priced.breakdown.model_dump().values()), rel=1e-9)
        assert priced.memory.peak == max(stage.peak for stage in priced.memory.stages)
        for stage in priced.memory.stages:
            parts = stage.weights + stage.gradients + stage.optimizer + stage.activations + stage.buffers
            assert stage.peak == pytest.approx(parts)


def test_the_same_question_has_the_same_answer() -> None:
    first, second = (search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=32)) for _ in range(2))
    assert first.candidates == second.candidates
    assert first.search.model_copy(update={"seconds": 0.0}) == second.search.model_copy(update={"seconds": 0.0})


def test_seven_gpus_for_a_batch_of_512_are_refused_with_a_remedy() -> None:
    with pytest.raises(InvalidRequest) as caught:
        search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=7))
    assert caught.value.field == "cluster.count"
    assert caught.value.value == 7
    assert "6 or 8" in caught.value.remedy


def test_nothing_fits_is_an_answer() -> None:
    found = search(PresetModel(preset="gpt-3-175b"), WORKLOAD, HomogeneousCluster(gpu="a100", count=8))
    assert found.best is None
    assert found.candidates == []
    assert found.search.after_memory == 0
    assert found.reasons[0].rule == "memory"
    assert (found.reasons[0].bytes_over or 0) > 0


def test_rules_that_refuse_everything_are_ranked() -> None:
    options = SearchOptions(rules=["tensor_parallel > 64", "true"])
    found = search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=8), options)
    assert found.best is None
    counts = [found.search.dropped[reason.rule] for reason in found.reasons]
    assert counts == sorted(counts, reverse=True)
    assert "rules[0]" in {reason.rule for reason in found.reasons}


def test_progress_is_told_and_may_cancel() -> None:
    class CancelledError(Exception):
        pass

    seen: list[tuple[str, int, int]] = []

    def watch(phase: str, completed: int, total: int, unit: str) -> None:
        assert unit == "layouts"
        assert 0 <= completed <= total
        seen.append((phase, completed, total))

    search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=16), progress=watch)
    assert list(dict.fromkeys(phase for phase, *_ in seen)) == ["space", "rules", "memory", "price"]
    assert seen[-1][1] == seen[-1][2]

    def cancel(phase: str, completed: int, total: int, unit: str) -> None:
        if phase == "price":
            raise CancelledError

    with pytest.raises(CancelledError):
        search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=16), progress=cancel)


@pytest.mark.parametrize(
    ("strategy", "field"),
    [
        (Strategy(tensor_parallel=3), "strategy.tensor_parallel"),
        (Strategy(pipeline_parallel=5), "strategy.pipeline_parallel"),
        (Strategy(data_parallel=7), "strategy.data_parallel"),
        (Strategy(micro_batch_size=64), "strategy.micro_batch_size"),
        (Strategy(pipeline_parallel=2, schedule="interleaved"), "strategy.pipeline_parallel"),
    ],
)
def test_a_strategy_that_cannot_be_laid_out_is_refused(strategy: Strategy, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        estimate(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=64), strategy)
    assert caught.value.field == field


def test_a_strategy_that_breaks_a_rule_is_priced_and_said_infeasible() -> None:
    cluster = HomogeneousCluster(gpu="a100", count=64)
    priced = estimate(LLAMA, WORKLOAD, cluster, Strategy(sequence_parallel=True, sharding="none"))
    assert not priced.feasible
    assert {"sequence_tensor", "gather_overlap_sharding", "memory"} <= {reason.rule for reason in priced.reasons}
    assert priced.iteration_seconds > 0


def test_precision_the_gpu_lacks_is_refused() -> None:
    workload = WORKLOAD.model_copy(update={"precision": "fp8"})
    with pytest.raises(InvalidRequest, match=r"workload\.precision.*bf16"):
        search(LLAMA, workload, HomogeneousCluster(gpu="a100", count=8))


def test_precision_can_be_searched() -> None:
    options = SearchOptions(space=Space(precision=["bf16", "fp8"]))
    cluster = HomogeneousCluster(gpu="h100", count=16)
    both = search(LLAMA, WORKLOAD, cluster, options)
    alone = search(LLAMA, WORKLOAD, cluster)
    assert both.best is not None
    assert alone.best is not None
    assert both.search.enumerated == 2 * alone.search.enumerated
    assert both.best.estimate.iteration_seconds < alone.best.estimate.iteration_seconds

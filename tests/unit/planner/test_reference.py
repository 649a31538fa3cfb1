from __future__ import annotations

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tests.unit.planner.reference import Scalar

from planner.engine import ExplicitModel, HomogeneousCluster, InvalidRequest, Strategy, Workload
from planner.engine.plan import estimate_problem
from planner.engine.pricing import estimate_strategy

MODELS = [
    ExplicitModel(layers=24, hidden_size=2048, heads=16, kv_heads=4, ffn_size=5632, vocab_size=32003),
    ExplicitModel(layers=12, hidden_size=1024, heads=16, vocab_size=50257, gated_mlp=False, tied_embeddings=True),
]


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    tensor = draw(st.sampled_from([1, 2, 4, 8, 16]))
    pipeline = draw(st.sampled_from([1, 2, 3, 4, 6]))
    virtual = draw(st.sampled_from([1, 2])) if pipeline > 1 else 1
    schedule = (
        "interleaved" if virtual > 1 else draw(st.sampled_from(["1f1b", "zero_bubble"] if pipeline > 1 else ["1f1b"]))
    )
    recompute = draw(st.sampled_from(["none", "full", "selective"]))
    modules = draw(st.sampled_from([["mlp"], ["core_attn"], ["layernorm", "mlp"]])) if recompute == "selective" else []
    return Strategy(
        tensor_parallel=tensor,
        pipeline_parallel=pipeline,
        virtual_pipeline=virtual,
        schedule=schedule,
        pipeline_split="even",
        micro_batch_size=draw(st.sampled_from([1, 2, 3, 4])),
        sequence_parallel=draw(st.booleans()),
        tp_overlap=draw(st.booleans()),
        p2p_overlap=draw(st.booleans()),
        recompute=recompute,
        recompute_method="uniform" if recompute == "full" else None,
        recompute_modules=modules,
        sharding=draw(st.sampled_from(["none", "zero1"])),
        grad_reduce_overlap=draw(st.booleans()),
        param_gather_overlap=draw(st.booleans()),
        attention=draw(st.sampled_from(["flash", "unfused"])),
    )


@settings(max_examples=300, deadline=None)
@given(
    strategy=strategies(),
    model=st.sampled_from(MODELS),
    gpu=st.sampled_from(["a100", "h100", "gb200", "l40s"]),
    gpus=st.sampled_from([1, 8, 24, 48, 96]),
    gradients=st.sampled_from(["fp32", "bf16"]),
)
def test_the_vectorised_engine_agrees_with_scalars(
    strategy: Strategy, model: ExplicitModel, gpu: str, gpus: int, gradients: str
) -> None:
    workload = Workload.model_validate(
        {"global_batch_size": 288, "sequence_length": 1536, "gradient_precision": gradients}
    )
    problem = estimate_problem(model, workload, HomogeneousCluster(gpu=gpu, count=gpus), strategy)
    try:
        priced = estimate_strategy(problem, strategy, None)
    except InvalidRequest:
        reject()
    expected = Scalar(problem, strategy)
    assert priced.iteration_seconds == pytest.approx(expected.iteration_seconds(), rel=1e-9)
    for stage in priced.memory.stages:
        assert stage.peak == pytest.approx(expected.stage_bytes(stage.stage), rel=1e-9)


def test_dense_layers_between_experts_are_counted() -> None:
    spec = {"layers": 8, "hidden_size": 1024, "heads": 8, "vocab_size": 32000, "experts": 4, "experts_per_token": 1}
    workload, cluster = Workload(global_batch_size=8, sequence_length=1024), HomogeneousCluster(gpu="h100", count=4)
    strategy = Strategy(pipeline_parallel=4)
    every, every_second = (
        estimate_strategy(estimate_problem(model, workload, cluster, strategy), strategy, None)
        for model in (ExplicitModel(**spec, expert_ffn_size=4096, moe_period=period) for period in (1, 2))
    )
    layer = 3 * 1024 * 4096
    for whole, half in zip(every.memory.stages, every_second.memory.stages, strict=True):
        assert whole.weights - half.weights == pytest.approx(2 * (layer * 3 + 1024 * 4), rel=1e-6)

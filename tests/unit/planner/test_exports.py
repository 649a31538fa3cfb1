from __future__ import annotations

import ast
import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engine import (
    Candidate,
    HeterogeneousCluster,
    HomogeneousCluster,
    PresetModel,
    Strategy,
    Workload,
    estimate,
    search,
)
from planner.engine.schedule import StageSeconds, simulate
from planner.export import FORMATS, CannotExpressError, PlanContext, render
from planner.export.context import deal_chunks

CLUSTER = HomogeneousCluster(gpu="h100", count=64)
PLAIN = Strategy(sharding="zero3", recompute="full", recompute_method="uniform")
DEEP = Strategy(
    tensor_parallel=4,
    pipeline_parallel=4,
    virtual_pipeline=2,
    sequence_parallel=True,
    tp_overlap=True,
    recompute="selective",
    recompute_modules=["core_attn", "layernorm"],
    optimizer_offload=0.5,
)


def context(strategy: Strategy, model: str = "llama-2-7b", **workload: object) -> PlanContext:
    spec = PresetModel(preset=model)
    work = Workload.model_validate({"global_batch_size": 64, "sequence_length": 2048} | workload)
    priced = estimate(spec, work, CLUSTER, strategy)
    model_ranks = strategy.tensor_parallel * strategy.pipeline_parallel * strategy.context_parallel
    filled = strategy.model_copy(update={"data_parallel": 64 // model_ranks})
    candidate = Candidate(gpu="h100-80gb-sxm", gpus=64, strategy=filled, estimate=priced)
    return PlanContext.of(spec, work, CLUSTER, candidate)


def test_megatron_arguments() -> None:
    text = render("megatron", context(DEEP)).text
    for argument in (
        "--tensor-model-parallel-size 4",
        "--pipeline-model-parallel-size 4",
        "--num-virtual-stages-per-pipeline-rank 2",
        "--sequence-parallel",
        "--tp-comm-overlap",
        "--recompute-granularity selective --recompute-modules core_attn layernorm",
        "--optimizer-cpu-offload --optimizer-offload-fraction 0.5",
        "--use-distributed-optimizer",
        "--no-overlap-p2p-communication",
        "--swiglu",
        "--micro-batch-size 1",
    ):
        assert f"    {argument}\n" in text


def test_megatron_arguments_of_a_mixture_of_experts() -> None:
    strategy = Strategy(pipeline_parallel=8, expert_parallel=8, pipeline_split="layout")
    text = render("megatron", context(strategy, "deepseek-v3", precision="fp8")).text
    assert '--moe-layer-freq "([0]*3+[1]*58)"' in text
    assert "--multi-latent-attention" in text
    assert "--expert-model-parallel-size 8" in text
    assert "--fp8-format hybrid" in text
    layout = text.split('layout "')[1].split('"')[0]
    assert layout.count("t") == 61
    assert layout.startswith("Et")
    assert layout.endswith("mL")
    assert layout.count("|") == 7


def test_the_recipe_is_python_that_sets_the_plan() -> None:
    tree = ast.parse(render("nemo", context(DEEP)).text)
    values = {
        ast.unparse(node.targets[0]): ast.unparse(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)
    }
    assert values["cfg.model.tensor_model_parallel_size"] == "4"
    assert values["cfg.model.virtual_pipeline_model_parallel_size"] == "2"
    assert values["cfg.optimizer.optimizer_offload_fraction"] == "0.5"
    assert values["cfg.comm_overlap"] == "CommOverlapConfig(tp_comm_overlap=True)"


def test_torchtitan_is_toml() -> None:
    config = tomllib.loads(render("torchtitan", context(PLAIN)).text)
    assert config["parallelism"]["data_parallel_shard_degree"] == 64
    assert config["activation_checkpoint"]["mode"] == "full"
    assert config["training"]["seq_len"] == 2048
    node = tomllib.loads(render("torchtitan", context(PLAIN.model_copy(update={"sharding": "zero3_node"}))).text)
    assert node["parallelism"]["data_parallel_replicate_degree"] == 8


def test_deepspeed_is_json() -> None:
    config = json.loads(render("deepspeed", context(PLAIN)).text)
    assert config["zero_optimization"]["stage"] == 3
    assert (
        config["train_batch_size"]
        == 64 * config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"]
    )


@pytest.mark.parametrize(
    ("name", "changes", "dimension"),
    [
        ("megatron", {"pipeline_parallel": 2, "schedule": "zero_bubble"}, "schedule"),
        ("megatron", {"activation_offload": True, "recompute": "none"}, "activation_offload"),
        ("nemo", {"pipeline_parallel": 2, "schedule": "zero_bubble"}, "schedule"),
        ("torchtitan", {"sharding": "zero1"}, "sharding"),
        ("torchtitan", {"recompute": "selective", "recompute_modules": ["mlp"]}, "recompute"),
        ("torchtitan", {"tensor_parallel": 2}, "sequence_parallel"),
        ("deepspeed", {"pipeline_parallel": 2}, "pipeline_parallel"),
        ("deepspeed", {"sharding": "zero1_node"}, "sharding"),
        ("deepspeed", {"sharding": "zero2", "optimizer_offload": 0.5}, "optimizer_offload"),
    ],
)
def test_what_a_consumer_cannot_express_is_refused_by_name(
    name: str, changes: dict[str, object], dimension: str
) -> None:
    with pytest.raises(CannotExpressError) as caught:
        render(name, context(PLAIN.model_copy(update=changes)))
    assert caught.value.dimension == dimension
    assert dimension in str(caught.value)


def test_a_mix_is_expressed_by_its_layout() -> None:
    spec, work = PresetModel(preset="llama-2-7b"), Workload(global_batch_size=64, sequence_length=4096)
    cluster = HeterogeneousCluster(mode="heterogeneous", total=16, limits={"a100": 8, "h100": 8})
    best = search(spec, work, cluster).best
    assert best is not None
    mixed = PlanContext.of(spec, work, cluster, best)
    text = render("megatron", mixed).text
    assert "--pipeline-model-parallel-layout" in text
    assert "# ranks 0 to 7: " in text
    assert text.split('layout "')[1].split('"')[0].count("t") == 32
    with pytest.raises(CannotExpressError):
        render("torchtitan", mixed)


def test_the_trace_shows_every_operation_once() -> None:
    trace = json.loads(render("trace", context(DEEP)).text)
    operations = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(operations) == 2 * 4 * 2 * trace["otherData"]["shown"]
    for stage in range(4):
        ends = 0.0
        for event in sorted((e for e in operations if e["tid"] == stage), key=lambda e: e["ts"]):
            assert event["ts"] >= ends - 1e-6
            ends = event["ts"] + event["dur"]


@given(
    forward=st.floats(0.5, 3),
    backward=st.floats(0.5, 6),
    stages=st.integers(1, 6),
    groups=st.integers(1, 4),
    chunks=st.integers(1, 4),
)
def test_simulated_steps_take_what_the_formulas_say(
    forward: float, backward: float, stages: int, groups: int, chunks: int
) -> None:
    each = [StageSeconds(forward, backward, backward / 2)] * stages
    count = stages * groups

    def makespan(schedule: str, parts: int) -> float:
        return max(one.start_seconds + one.seconds for one in simulate(each, schedule, parts, count))

    once = forward + backward
    assert makespan("1f1b", 1) == pytest.approx((count + stages - 1) * once)
    if stages > 1 and chunks > 1:
        assert makespan("interleaved", chunks) == pytest.approx(count * once + (stages - 1) * once / chunks)
    assert makespan("zero_bubble", 1) <= makespan("1f1b", 1) * (1 + 1e-9)


@given(
    times=st.lists(st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)), min_size=1, max_size=5), count=st.integers(1, 12)
)
def test_unlike_stages_never_beat_the_bound(times: list[tuple[float, float]], count: int) -> None:
    stages = [StageSeconds(forward, backward, 0.0) for forward, backward in times]
    makespan = max(one.start_seconds + one.seconds for one in simulate(stages, "1f1b", 1, count))
    totals = [forward + backward for forward, backward in times]
    assert makespan >= count * max(totals) - 1e-9
    assert makespan >= sum(totals) - 1e-9


@pytest.mark.parametrize(
    ("sizes", "stages", "chunks"),
    [((8, 8, 8), 4, 2), ((3, 4, 2), 16, 1), ((7, 8, 7), 16, 4), ((4, 0, 4), 2, 2), ((32, 0, 0), 1, 1)],
)
def test_chunks_add_up(sizes: tuple[int, int, int], stages: int, chunks: int) -> None:
    rows = deal_chunks(*sizes, stages, chunks)
    expected = [sizes[0]] if stages == 1 else [sizes[0], *[sizes[1]] * (stages - 2), sizes[2]]
    assert [sum(row) for row in rows] == expected
    assert all(len(row) == chunks for row in rows)


def test_every_promised_format_is_there() -> None:
    assert set(FORMATS) == {"megatron", "nemo", "torchtitan", "deepspeed", "trace"}

from __future__ import annotations

import ast
import json
import shlex
import tomllib
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner import export_vocabulary as vocabulary

from planner.engine import (
    Candidate,
    HeterogeneousCluster,
    HomogeneousCluster,
    InvalidRequest,
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
    assert values["cfg.comm_overlap"].startswith("CommOverlapConfig(tp_comm_overlap=True, overlap_p2p_comm=False, ")
    assert values["cfg.mixed_precision"] == "get_mixed_precision_config('bf16_mixed')"
    assert values["cfg.mixed_precision.grad_reduce_in_fp32"] == "True"


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
        ("deepspeed", {"sharding": "zero3_node", "tensor_parallel": 2}, "sharding"),
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


@pytest.fixture(scope="module")
def mixed() -> PlanContext:
    spec, work = PresetModel(preset="llama-2-7b"), Workload(global_batch_size=64, sequence_length=4096)
    cluster = HeterogeneousCluster(mode="heterogeneous", total=16, limits={"a100": 8, "h100": 8}, inter_type_gbps=10)
    best = search(spec, work, cluster).best
    assert best is not None
    return PlanContext.of(spec, work, cluster, best)


def test_a_mix_is_expressed_by_its_layout(mixed: PlanContext) -> None:
    text = render("megatron", mixed).text
    assert "--pipeline-model-parallel-layout" in text
    assert "# ranks 0 to 7: " in text
    assert text.split('layout "')[1].split('"')[0].count("t") == 32
    with pytest.raises(CannotExpressError):
        render("torchtitan", mixed)


def operations_of(trace: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    """The complete events of every thread in order, checked against the Trace Event Format."""
    threads: dict[int, list[dict[str, Any]]] = {}
    for event in trace["traceEvents"]:
        assert event["ph"] in {"M", "X"}
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "X":
            assert event["dur"] > 0
            threads.setdefault(event["tid"], []).append(event)
    for events in threads.values():
        for one, after in pairwise(events):
            assert after["ts"] >= one["ts"] + one["dur"] - 1e-6
    return threads


def test_the_trace_shows_every_operation_once() -> None:
    trace = json.loads(render("trace", context(DEEP)).text)
    threads = operations_of(trace)
    assert {len(events) for events in threads.values()} == {2 * 2 * trace["otherData"]["shown"]}
    named = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    assert named == [f"stage {stage} on h100-80gb-sxm" for stage in range(4)]


def test_the_trace_of_a_mix_takes_what_its_estimate_says(mixed: PlanContext) -> None:
    trace = json.loads(render("trace", mixed).text)
    threads = operations_of(trace)
    assignment = mixed.candidate.assignment or []
    assert len(threads) == sum(run.stages for run in assignment) == mixed.strategy.pipeline_parallel
    named = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
    assert [name.rpartition(" ")[2] for name in named] == [run.gpu for run in assignment for _ in run.layers]
    assert trace["otherData"]["shown"] == mixed.micro_batches
    makespan = max(events[-1]["ts"] + events[-1]["dur"] for events in threads.values()) / 1e6
    parts = mixed.candidate.estimate.breakdown
    pipeline = mixed.candidate.estimate.iteration_seconds - parts.dp - parts.optimizer - parts.offload
    slowdown = max(device.calibration.slowdown for device in mixed.devices.values())
    assert makespan == pytest.approx(pipeline / slowdown, rel=0.05)


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


strategies = st.builds(
    Strategy,
    tensor_parallel=st.sampled_from([1, 2, 4]),
    context_parallel=st.sampled_from([1, 2]),
    pipeline_parallel=st.sampled_from([1, 2, 4]),
    virtual_pipeline=st.sampled_from([1, 2]),
    expert_parallel=st.sampled_from([1, 2]),
    expert_tensor_parallel=st.sampled_from([1, 2]),
    sequence_parallel=st.booleans(),
    sharding=st.sampled_from(["none", "zero1", "zero1_node", "zero2", "zero3", "zero3_node"]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    recompute_modules=st.sampled_from([["core_attn"], ["mlp", "moe"]]),
    recompute_method=st.sampled_from(["uniform", "block"]),
    activation_offload=st.booleans(),
    optimizer_offload=st.sampled_from([0.0, 0.5, 1.0]),
    tp_overlap=st.booleans(),
    p2p_overlap=st.booleans(),
    grad_reduce_overlap=st.booleans(),
    param_gather_overlap=st.booleans(),
    pipeline_split=st.sampled_from([None, "layout"]),
    context_comm=st.sampled_from(["p2p", "a2a"]),
)
models = st.sampled_from(["llama-2-7b", "deepseek-v3", "gpt-oss-20b", "gpt-2-xl", "mixtral-8x7b", "gemma-2-9b"])
precisions = st.sampled_from(["bf16", "fp16", "fp8"])


@settings(max_examples=150, deadline=None)
@given(strategies, models, precisions, st.sampled_from(["fp32", "bf16"]))
def test_exports_use_only_names_their_consumers_define(
    strategy: Strategy, model: str, precision: str, gradients: str
) -> None:
    try:
        plan = context(strategy, model, precision=precision, gradient_precision=gradients)
    except InvalidRequest:
        return
    checks = {
        "megatron": check_megatron,
        "nemo": check_bridge,
        "torchtitan": check_torchtitan,
        "deepspeed": check_deepspeed,
    }
    for name, check in checks.items():
        with suppress(CannotExpressError):
            check(render(name, plan).text)


def check_megatron(text: str) -> None:
    words = shlex.split(text.split("MEGATRON_ARGS=(")[1].rstrip().rstrip(")"))
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word.removeprefix("--")
            assert name in vocabulary.MEGATRON
        elif name in vocabulary.MEGATRON_CHOICES:
            assert word in vocabulary.MEGATRON_CHOICES[name]


def check_bridge(text: str) -> None:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign):
            _, section, *field = ast.unparse(node.targets[0]).split(".")
            if field:
                assert field[0] in vocabulary.BRIDGE[section]
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "CommOverlapConfig":
            assert {keyword.arg for keyword in node.keywords} == vocabulary.BRIDGE_OVERLAP
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "get_mixed_precision_config":
            assert ast.literal_eval(node.args[0]) in vocabulary.BRIDGE_PRECISIONS


def check_torchtitan(text: str) -> None:
    config = tomllib.loads(text)
    for section, values in config.items():
        assert set(values) <= vocabulary.TORCHTITAN[section]
    parts = config["parallelism"].get("module_fqns_per_model_part", [])
    assert len(parts) % config["parallelism"]["pipeline_parallel_degree"] == 0
    layers = [name for part in parts for name in part if name.startswith("layers.")]
    assert layers == [f"layers.{index}" for index in range(len(layers))]


def check_deepspeed(text: str) -> None:
    config = json.loads(text)
    assert set(config) <= vocabulary.DEEPSPEED
    assert set(config["zero_optimization"]) <= vocabulary.DEEPSPEED_ZERO


def test_a_window_and_sinks_are_megatron_arguments() -> None:
    text = render("megatron", context(Strategy(expert_parallel=8), "gpt-oss-20b")).text
    assert "--softmax-type learnable" in text
    assert '--window-size "(128,0)"' in text
    assert "--window-attn-skip-freq 2" in text


def test_every_promised_format_is_there() -> None:
    assert set(FORMATS) == {"megatron", "nemo", "torchtitan", "deepspeed", "trace"}

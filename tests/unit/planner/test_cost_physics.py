"""What the cost and memory models say where stacks, topologies and schedules differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planner.validation_rows import row

from planner.catalog.calibrations import base_calibration, calibration_for, prior_calibration
from planner.engine import HomogeneousCluster, PresetModel, Strategy, Workload, estimate
from planner.engine.cost.collectives import Group, dispatch_seconds, exchange_seconds
from planner.engine.hardware import resolve_device
from planner.engine.inputs.cluster import LinkOverrides
from planner.validation.convert import PricedCase, case_of, warnings_of
from planner.validation.stacks import stack_of

H100 = resolve_device("h100-80gb-sxm", LinkOverrides(), field="cluster.gpu")


def groups(ranks: int) -> Group:
    return Group.of(H100, np.array([ranks]), np.array([1]))


@given(st.sampled_from([2, 8, 16, 64]), st.integers(1, 16), st.floats(1e6, 1e10))
def test_dispatch_never_moves_more_than_an_exchange_of_every_copy(ranks: int, copies: int, size: float) -> None:
    sizes = np.array([size])
    sent = dispatch_seconds(H100, groups(ranks), sizes, copies)
    slower = 1.0 if ranks <= H100.domain else (ranks - 1) / ranks / ((H100.domain - 1) / H100.domain)
    assert sent <= exchange_seconds(H100, groups(ranks), sizes) * max(slower, 1 / slower) * (1 + 1e-9)


def test_a_token_crosses_between_nodes_once_for_all_its_experts_there() -> None:
    sizes = np.array([1e9])
    eight, one = (dispatch_seconds(H100, groups(16), sizes * copies, copies).item() for copies in (8, 1))
    assert eight < 3 * one


def moe(**columns: str) -> PricedCase:
    experts = {"moe_experts": "64", "moe_topk": "4", "moe_ffn_hidden": "1024", "ep": "8", "attn_type": "MHA"}
    return PricedCase(case_of(row(**{**experts, **columns})))


def test_more_experts_of_a_rank_mean_more_launches() -> None:
    few, many = moe(moe_experts="16"), moe(moe_experts="128")
    host = replace(few.default, launch_us=200.0)
    assert many.seconds(host) > few.seconds(host)


def test_fused_experts_are_a_stack_of_models_with_experts_on_blackwell_only() -> None:
    framework = "Megatron-Bridge/NeMo 26.06"
    assert moe(framework=framework, gpu_type="B200", gpu_mem_gb="180").run.stack == "megatron-core-26.06"
    assert moe(framework=framework, gpu_type="H100").run.stack == "megatron-core"
    assert stack_of(framework).name == "megatron-core"
    assert stack_of("Megatron-Bridge/NeMo 26.04", fused_experts=True).name == "megatron-core"


def test_a_release_is_as_old_as_the_months_since() -> None:
    names = ("25.09", "25.11", "26.02", "26.02.01", "26.04", "26.08")
    ages = [stack_of(f"Megatron-Bridge/NeMo {name}").age_months for name in names]
    assert ages == [8, 6, 3, 2, 1, 0]
    assert stack_of("NeMo (dgxc-benchmarking v25.05.05)").age_months == 11
    assert stack_of("Megatron-Bridge").age_months == stack_of("llm-foundry/Composer FSDP").age_months == 0


def aged(**columns: str) -> float:
    """Return by what factor a release half a year old is slower."""
    old, new = (
        PricedCase(case_of(row(gpu_type="B200", gpu_mem_gb="180", framework=f"NeMo {release}", **columns)))
        for release in ("25.11", "26.05")
    )
    return old.seconds() / new.seconds()


def test_older_releases_are_slower_the_fewer_bits_operands_have() -> None:
    assert aged() == pytest.approx(1.0)
    assert 1.0 < aged(precision="mxfp8") < aged(precision="nvfp4")


def test_older_releases_are_slower_for_experts() -> None:
    experts = {"moe_experts": "64", "moe_topk": "4", "moe_ffn_hidden": "1024", "ep": "8", "attn_type": "MHA"}
    assert 1.0 < aged(**experts) < aged(**experts, precision="mxfp8")


def test_what_is_known_of_a_stack_holds_only_for_the_generations_it_names() -> None:
    hopper, ampere = (prior_calibration(name, stack="fsdp") for name in ("hopper", "ampere"))
    assert hopper.attention_forward < base_calibration("hopper").attention_forward
    assert ampere.attention_forward == base_calibration("ampere").attention_forward
    assert ampere.memory < base_calibration("ampere").memory


def test_gradients_of_fp16_training_stand_in_16_bits() -> None:
    half, brain = (PricedCase(case_of(row(precision=name))).run.workload for name in ("fp16", "bf16"))
    assert (half.gradient_precision, brain.gradient_precision) == ("bf16", "fp32")


def test_heads_that_tensor_cores_cannot_align_are_slow_without_fused_kernels() -> None:
    columns = {"framework": "Megatron-DeepSpeed", "hidden": "3456", "ffn_hidden": "13824"}
    aligned, odd = (
        PricedCase(case_of(row(heads=heads, kv_heads=heads, head_dim=width, **columns)))
        for heads, width in (("24", "144"), ("32", "108"))
    )
    assert odd.seconds() > 1.1 * aligned.seconds()


def test_two_phase_zero_bubble_is_timed_but_its_peak_is_not_compared() -> None:
    given_row = row(schedule="ZB-2p", pp="4", dp="2", peak_mem_gb="50")
    assert case_of(given_row).run.peak_bytes is None
    assert "ZB-2p" in warnings_of(given_row)[0]
    assert case_of(row(schedule="ZB-1p", pp="4", dp="2", peak_mem_gb="50")).run.peak_bytes == 50e9


def test_an_allocator_keeps_slack_only_while_there_is_room() -> None:
    case = PricedCase(case_of(row(framework="llm-foundry/Composer FSDP")))
    tight, slack = (
        case.estimate(replace(calibration_for("ampere", "a100-80gb-sxm", "fsdp"), allocator_slack=share)).memory
        for share in (0.0, 1e3)
    )
    assert tight.peak < slack.peak
    assert slack.peak == pytest.approx(max(slack.capacity, tight.peak))


def test_stacks_without_asynchronous_reductions_wait_for_tensor_traffic() -> None:
    def waited(tensor: int) -> float:
        case = PricedCase(case_of(row(framework="Megatron-DeepSpeed", tp=str(tensor), dp=str(8 // tensor))))
        hiding = replace(case.default, async_tensor_reduce=1.0)
        return case.seconds() - case.seconds(hiding)

    assert waited(1) == 0.0
    assert 0.0 < waited(2) < waited(4)


@pytest.mark.parametrize(("chunks", "layers_of_longest"), [(20, 2), (31, 2), (40, 1)])
def test_the_longest_chunk_fills_the_pipeline(chunks: int, layers_of_longest: int) -> None:
    assert bubble(chunks) == pytest.approx(bubble(1) * layers_of_longest / 40, rel=1e-9)


def bubble(chunks: int) -> float:
    """Return the idle seconds of llama-3-70b over two stages of 40 layers."""
    strategy = Strategy(
        tensor_parallel=8,
        pipeline_parallel=2,
        virtual_pipeline=chunks,
        schedule="interleaved" if chunks > 1 else "1f1b",
        pipeline_split="layout" if chunks == 31 else "even",
        data_parallel=1,
        sequence_parallel=True,
    )
    workload = Workload(global_batch_size=8, sequence_length=4096)
    model, cluster = PresetModel(preset="llama-3-70b"), HomogeneousCluster(gpu="a100-80gb-sxm", count=16)
    return estimate(model, workload, cluster, strategy).breakdown.pp_bubble

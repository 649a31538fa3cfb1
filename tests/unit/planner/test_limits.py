"""Questions at the edge of what may be asked: each is answered, or refused by the field's name; none exhausts memory or time."""

from __future__ import annotations

import resource

import pytest

from planner.engine import (
    CostCluster,
    ExplicitModel,
    HeterogeneousCluster,
    HomogeneousCluster,
    HuggingFaceModel,
    InvalidRequest,
    PresetModel,
    SearchOptions,
    Space,
    Workload,
    search,
)

WORKLOAD = Workload(global_batch_size=64, sequence_length=2048, tokens=1e9)
LLAMA = PresetModel(preset="llama-2-7b")
WIDE = list(range(1, 65))


def test_a_space_too_large_to_hold_is_refused() -> None:
    space = Space(tensor_parallel=WIDE, context_parallel=WIDE, micro_batch_size=WIDE, pipeline_parallel=WIDE)
    with pytest.raises(InvalidRequest) as caught:
        search(LLAMA, WORKLOAD, HomogeneousCluster(gpu="a100", count=64), SearchOptions(space=space))
    assert caught.value.field == "search.space"


def test_a_rule_that_ties_everything_together_is_refused() -> None:
    everything = "micro_batches + zero_stage + recompute_share + optimizer_offload"
    flags = ["sequence_parallel", "tp_overlap", "p2p_overlap", "grad_reduce_overlap", "param_gather_overlap"]
    flags += ["activation_offload", "context_comm == 'p2p'"]
    rule = f"{everything} < 3 or " + " or ".join(flags)
    cluster = HomogeneousCluster(gpu="a100", count=1024)
    workload = Workload(global_batch_size=1536, sequence_length=4096)
    with pytest.raises(InvalidRequest) as caught:
        search(PresetModel(preset="gpt-3-175b"), workload, cluster, SearchOptions(rules=[rule]))
    assert caught.value.field == "search.rules"


@pytest.mark.parametrize("layers", [2**39, 4097])
def test_a_config_of_absurd_size_is_refused(layers: int) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "vocab_size": 9,
    }
    with pytest.raises(InvalidRequest):
        search(HuggingFaceModel(huggingface=config), WORKLOAD, HomogeneousCluster(gpu="a100", count=8))


@pytest.mark.parametrize(
    "model",
    [
        ExplicitModel(layers=1, hidden_size=1, heads=1, vocab_size=1),
        ExplicitModel(layers=4096, hidden_size=64, heads=1, vocab_size=1),
        ExplicitModel(layers=2, hidden_size=999_999, heads=1, vocab_size=100_000_000),
        ExplicitModel(
            layers=3,
            hidden_size=64,
            heads=4,
            vocab_size=100,
            experts=7,
            experts_per_token=7,
            expert_ffn_size=1,
            dense_layers=3,
            moe_period=5,
            mtp_layers=8,
        ),
        ExplicitModel(
            layers=3, hidden_size=64, heads=4, vocab_size=100, kv_lora_rank=8, learned_positions=9, sliding_window=1
        ),
    ],
)
@pytest.mark.parametrize("count", [1, 1_048_576])
def test_odd_models_are_answered(model: ExplicitModel, count: int) -> None:
    workload = Workload(global_batch_size=1_048_576, sequence_length=1)
    plan = search(model, workload, HomogeneousCluster(gpu="h100", count=count))
    assert plan.search.enumerated == plan.search.after_rules + sum(plan.search.dropped.values())


def test_long_sequences_and_odd_batches_are_answered() -> None:
    workload = Workload(global_batch_size=1, sequence_length=16_777_216)
    assert search(LLAMA, workload, HomogeneousCluster(gpu="b300", count=512)).search.enumerated > 0
    prime = Workload(global_batch_size=7, sequence_length=4096)
    assert search(LLAMA, prime, HomogeneousCluster(gpu="h100", count=56)).best is not None


def test_every_mode_stays_within_two_gibibytes() -> None:
    workload = Workload(global_batch_size=2048, sequence_length=8192, tokens=1e12)
    large = PresetModel(preset="llama-3-405b")
    search(large, workload, HomogeneousCluster(gpu="h100", count=16_384))
    search(large, workload, HeterogeneousCluster(mode="heterogeneous", total=2048, limits={"h100": 1024, "h200": 2048}))
    search(large, workload, CostCluster(mode="cost", gpus=["h100", "b200"], max_count=16_384))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert peak_bytes < 2 * 1024**3

from __future__ import annotations

import pytest

from planner.catalog import models
from planner.engine.errors import InvalidRequest
from planner.engine.model import FAMILIES, Architecture, count_parameters, from_huggingface, from_preset

# Published parameter counts: Hugging Face safetensors metadata, else the papers named in models.toml.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
GLM = {
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "attention_bias": True,
    "vocab_size": 151552,
}
GLM_AIR = GLM | {
    "model_type": "glm4_moe",
    "intermediate_size": 10944,
    "num_hidden_layers": 46,
    "num_attention_heads": 96,
    "num_key_value_heads": 8,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 128,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 1,
    "use_qk_norm": False,
    "num_nextn_predict_layers": 1,
}
GLM_LARGE = GLM_AIR | {
    "hidden_size": 5120,
    "intermediate_size": 12288,
    "num_hidden_layers": 92,
    "moe_intermediate_size": 1536,
    "n_routed_experts": 160,
    "first_k_dense_replace": 3,
    "use_qk_norm": True,
}
CONFIGS = {
    "llama": (LLAMA, 6_738_415_616),
    "llama-3-8b": (
        LLAMA | {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256},
        8_030_261_248,
    ),
    "mistral": (
        LLAMA | {"model_type": "mistral", "num_key_value_heads": 8, "intermediate_size": 14336, "sliding_window": 4096},
        7_241_732_096,
    ),
    "mixtral": (
        LLAMA
        | {
            "model_type": "mixtral",
            "num_key_value_heads": 8,
            "intermediate_size": 14336,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
        },
        46_702_792_704,
    ),
    "qwen2": (
        {
            "model_type": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
        },
        7_615_616_512,
    ),
    "qwen2_moe": (
        {
            "model_type": "qwen2_moe",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "moe_intermediate_size": 2560,
            "shared_expert_intermediate_size": 20480,
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 151936,
        },
        57_409_011_712,
    ),
    "qwen3": (
        {
            "model_type": "qwen3",
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        },
        8_190_735_360,
    ),
    "qwen3_moe": (
        {
            "model_type": "qwen3_moe",
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "vocab_size": 151936,
        },
        30_532_122_624,
    ),
    "deepseek_v2": (
        {
            "model_type": "deepseek_v2",
            "hidden_size": 2048,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "num_experts_per_tok": 6,
            "first_k_dense_replace": 1,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "vocab_size": 102400,
        },
        15_706_484_224,
    ),
    "deepseek_v3": (
        {
            "model_type": "deepseek_v3",
            "hidden_size": 7168,
            "intermediate_size": 18432,
            "moe_intermediate_size": 2048,
            "n_routed_experts": 256,
            "n_shared_experts": 1,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 3,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "num_nextn_predict_layers": 1,
            "vocab_size": 129280,
        },
        671_026_419_200,
    ),
    "gpt_neox": (
        {
            "model_type": "gpt_neox",
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "num_hidden_layers": 44,
            "num_attention_heads": 64,
            "vocab_size": 50432,
        },
        20_554_567_680,
    ),
    "gpt2": (
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257},
        124_439_808,
    ),
    "gemma": (
        {
            "model_type": "gemma",
            "hidden_size": 3072,
            "intermediate_size": 24576,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "head_dim": 256,
            "vocab_size": 256000,
        },
        8_537_680_896,
    ),
    "gemma2": (
        {
            "model_type": "gemma2",
            "hidden_size": 3584,
            "intermediate_size": 14336,
            "num_hidden_layers": 42,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "sliding_window": 4096,
            "vocab_size": 256000,
        },
        9_241_705_984,
    ),
    "gemma3": (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 1152,
                "intermediate_size": 6912,
                "num_hidden_layers": 26,
                "num_attention_heads": 4,
                "num_key_value_heads": 1,
                "head_dim": 256,
                "sliding_window": 512,
                "vocab_size": 262144,
            },
        },
        999_885_952,
    ),
    "nemotron": (
        {
            "model_type": "nemotron",
            "hidden_size": 6144,
            "intermediate_size": 24576,
            "num_hidden_layers": 32,
            "num_attention_heads": 48,
            "num_key_value_heads": 8,
            "vocab_size": 256000,
        },
        15_600_000_000,
    ),
    "chatglm": (
        {
            "model_type": "chatglm",
            "hidden_size": 4096,
            "ffn_hidden_size": 13696,
            "num_layers": 40,
            "num_attention_heads": 32,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "add_qkv_bias": True,
            "padded_vocab_size": 151552,
        },
        9_399_951_360,
    ),
    "glm": (GLM | {"model_type": "glm"}, 9_399_951_360),
    "glm4": (GLM | {"model_type": "glm4"}, 9_400_279_040),
    "glm4-32b": (
        GLM
        | {
            "model_type": "glm4",
            "hidden_size": 6144,
            "intermediate_size": 23040,
            "num_hidden_layers": 61,
            "num_attention_heads": 48,
            "attention_bias": False,
        },
        32_566_081_536,
    ),
    "mistral-nemo": (
        LLAMA
        | {
            "model_type": "mistral",
            "hidden_size": 5120,
            "intermediate_size": 14336,
            "num_hidden_layers": 40,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 131072,
        },
        12_247_782_400,
    ),
    "qwen1.5-moe-a2.7b": (
        {
            "model_type": "qwen2_moe",
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "vocab_size": 151936,
        },
        14_315_784_192,
    ),
    "pythia-6.9b": (
        {
            "model_type": "gpt_neox",
            "hidden_size": 4096,
            "intermediate_size": 16384,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "vocab_size": 50432,
        },
        6_857_302_016,
    ),
    "gemma-3-27b": (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 5376,
                "intermediate_size": 21504,
                "num_hidden_layers": 62,
                "num_attention_heads": 32,
                "num_key_value_heads": 16,
                "head_dim": 128,
                "sliding_window": 1024,
                "vocab_size": 262208,
            },
        },
        27_009_346_304,
    ),
    "minitron-8b": (
        {
            "model_type": "nemotron",
            "hidden_size": 4096,
            "intermediate_size": 16384,
            "num_hidden_layers": 32,
            "num_attention_heads": 48,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 256000,
        },
        8_270_000_000,
    ),
    "gpt_oss": (
        {
            "model_type": "gpt_oss",
            "hidden_size": 2880,
            "intermediate_size": 2880,
            "num_hidden_layers": 36,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "num_local_experts": 128,
            "num_experts_per_tok": 4,
            "sliding_window": 128,
            "vocab_size": 201088,
        },
        116_829_156_672,
    ),
}


@pytest.mark.parametrize("name", sorted(models()))
def test_presets_have_their_published_parameters(name: str) -> None:
    architecture = from_preset(name)
    counted = count_parameters(architecture).total(architecture)
    assert counted == pytest.approx(models()[name].parameters, rel=0.005)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_hugging_face_configs_have_their_published_parameters(name: str) -> None:
    config, published = CONFIGS[name]
    architecture = from_huggingface(config)
    assert count_parameters(architecture).total(architecture) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(("config", "published"), [(GLM_AIR, 110_468_824_832), (GLM_LARGE, 358_337_791_296)])
def test_prediction_layers_are_counted_as_checkpoints_hold_them(config: dict[str, object], published: int) -> None:
    """GLM 4.5 checkpoints hold the prediction layer with copies of the embedding and the head (safetensors totals)."""
    architecture = from_huggingface(config)
    copies = 2 * architecture.vocab_size * architecture.hidden_size
    counts = count_parameters(architecture)
    assert counts.with_mtp(architecture) + copies == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize(
    ("family", "layers"), [("mistral", 32), ("gemma2", 21), ("gemma3", 22), ("gpt_oss", 18), ("gemma-3-27b", 52)]
)
def test_sliding_layers_are_those_of_the_family(family: str, layers: int) -> None:
    architecture = from_huggingface(CONFIGS[family][0])
    assert architecture.sliding_layers == layers
    assert architecture.sliding_window > 0


def test_every_family_that_is_read_has_a_published_count() -> None:
    read = {config.get("text_config", config)["model_type"] for config, _ in CONFIGS.values()}
    assert {*read, "glm4_moe"} == FAMILIES


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "t5", "d_model": 512}, "decoder"),
        ({"model_type": "other", "is_encoder_decoder": True}, "decoder"),
        ({"model_type": "bert", "hidden_size": 768}, "causal"),
    ],
)
def test_encoders_are_refused_with_what_to_do_instead(config: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_huggingface(config)
    assert caught.value.field == "model.huggingface.model_type"
    assert word in str(caught.value)


def test_a_config_and_its_preset_agree() -> None:
    config, _ = CONFIGS["llama"]
    from_config = from_huggingface(config)
    assert count_parameters(from_config) == count_parameters(from_preset("llama-2-7b"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model_type": "mamba"}, "model.huggingface.model_type"),
        ({"hidden_size": None}, "model.huggingface.hidden_size"),
        ({"num_hidden_layers": "32"}, "model.huggingface.num_hidden_layers"),
        ({"num_hidden_layers": -1}, "model.huggingface.num_hidden_layers"),
        ({"attention_bias": 3}, "model.huggingface.attention_bias"),
        ({"num_key_value_heads": 5}, "model.huggingface.num_key_value_heads"),
    ],
)
def test_a_wrong_config_names_the_key(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_huggingface(LLAMA | changes)
    assert caught.value.field == field
    assert caught.value.remedy


def test_active_parameters_of_a_mixture() -> None:
    architecture = from_preset("deepseek-v3")
    assert count_parameters(architecture).active(architecture) == pytest.approx(37e9, rel=0.02)


def test_windowed_attention_attends_less() -> None:
    windowed = from_preset("gpt-oss-120b")
    assert windowed.attended_positions(4096) < 4097 / 2
    full = Architecture("full", 2, 64, 4, 4, 16, 256, 1000)
    assert full.attended_positions(8) == 4.5


def test_a_window_is_the_mean_over_all_queries() -> None:
    model = Architecture("windowed", 2, 64, 4, 4, 16, 256, 1000, sliding_window=3, sliding_layers=2)
    sizes = [min(position + 1, 3) for position in range(8)]
    assert model.attended_positions(8) == pytest.approx(sum(sizes) / 8)

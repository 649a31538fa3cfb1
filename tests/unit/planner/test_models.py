from __future__ import annotations

import pytest
from tests.unit.planner.published_models import CONFIGS, GLM_AIR, GLM_LARGE, LLAMA

from planner.catalog import models
from planner.engine.errors import InvalidRequest
from planner.engine.model import FAMILIES, Architecture, count_parameters, from_huggingface, from_preset


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

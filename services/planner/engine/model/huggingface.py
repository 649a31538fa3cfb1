"""Hugging Face config.json files, family by family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.engine.errors import InvalidRequest
from planner.engine.model.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FIELD = "model.huggingface"


class _Config:
    """A config.json whose reads name the key that is missing or of the wrong kind."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    def integer(self, *keys: str, default: int | None = None) -> int:
        for key in keys:
            value = self.raw.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
                raise InvalidRequest(
                    f"{_FIELD}.{key}", value, "is not a non-negative integer", "send the model's own value"
                )
            return value
        if default is None:
            raise InvalidRequest(f"{_FIELD}.{keys[0]}", None, "is missing", "send the whole config.json")
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.raw.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidRequest(f"{_FIELD}.{key}", value, "is not a boolean", "send true or false")
        return value


def from_huggingface(raw: Mapping[str, Any]) -> Architecture:
    """Read the dimensions of a causal language model from its config.json.

    InvalidRequest names what is missing or unknown.
    """
    inner = raw.get("text_config", raw)
    if not isinstance(inner, dict):
        raise InvalidRequest(f"{_FIELD}.text_config", inner, "is not an object", "send the whole config.json")
    family = inner.get("model_type", raw.get("model_type"))
    _require_decoder(inner, family)
    if not isinstance(family, str) or family not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise InvalidRequest(
            f"{_FIELD}.model_type", family, "is not a known family", f"use one of {known}, or explicit dimensions"
        )
    config = _Config(inner)
    dimensions = _common(config) | _FAMILIES[family](config)
    _check(dimensions)
    return Architecture(name=str(inner.get("_name_or_path") or family), **dimensions)


_ENCODERS = frozenset({"bert", "roberta", "xlm-roberta", "albert", "electra", "deberta-v2", "distilbert", "modernbert"})
_ENCODER_DECODERS = frozenset({"t5", "mt5", "umt5", "bart", "mbart", "pegasus", "marian", "whisper", "encoder-decoder"})


def _require_decoder(config: Mapping[str, Any], family: object) -> None:
    """Refuse the architectures that are none of a decoder, and say what can be done instead."""
    if family in _ENCODER_DECODERS or config.get("is_encoder_decoder") is True:
        message = "has an encoder and a decoder, which differ in every stage: no plan here describes both"
        raise InvalidRequest(f"{_FIELD}.model_type", family, message, "plan a model with one stack of layers")
    if family in _ENCODERS:
        remedy = "send explicit dimensions with causal false and gated_mlp, biases and learned_positions as they are"
        raise InvalidRequest(f"{_FIELD}.model_type", family, "is an encoder, whose config.json is not read", remedy)


_MOST = {
    "layers": 4096,
    "hidden_size": 1_000_000,
    "heads": 1_000_000,
    "kv_heads": 1_000_000,
    "head_dim": 1_000_000,
    "ffn_size": 10_000_000,
    "vocab_size": 100_000_000,
    "experts": 65_536,
}


def _check(dimensions: dict[str, Any]) -> None:
    """Refuse what no model is, before anything is counted in it."""
    for name in ("layers", "hidden_size", "heads", "kv_heads", "head_dim", "vocab_size"):
        if dimensions[name] < 1:
            raise InvalidRequest(
                _FIELD, dimensions[name], f"gives a model with no {name}", "send the whole config.json"
            )
    for name, most in _MOST.items():
        if dimensions.get(name, 0) > most:
            raise InvalidRequest(_FIELD, dimensions[name], f"gives {name} above {most}", "send the model's own value")
    if dimensions["heads"] % dimensions["kv_heads"]:
        field = f"{_FIELD}.num_key_value_heads"
        raise InvalidRequest(field, dimensions["kv_heads"], "does not divide the heads", "check both")
    per_token = dimensions.get("experts_per_token", 0)
    if dimensions.get("experts", 0) and not 1 <= per_token <= dimensions["experts"]:
        raise InvalidRequest(
            f"{_FIELD}.num_experts_per_tok", per_token, "is not between 1 and the experts", "check both"
        )
    if dimensions.get("dense_layers", 0) > dimensions["layers"]:
        field = f"{_FIELD}.first_k_dense_replace"
        raise InvalidRequest(field, dimensions["dense_layers"], "exceeds the layers", "check both")


def _common(config: _Config) -> dict[str, Any]:
    heads = config.integer("num_attention_heads", "n_head")
    hidden = config.integer("hidden_size", "n_embd")
    return {
        "layers": config.integer("num_hidden_layers", "n_layer", "num_layers"),
        "hidden_size": hidden,
        "heads": heads,
        "kv_heads": config.integer("num_key_value_heads", default=heads),
        "head_dim": config.integer("head_dim", default=hidden // max(heads, 1)),
        "ffn_size": config.integer("intermediate_size", "ffn_hidden_size", "n_inner", default=4 * hidden),
        "vocab_size": config.integer("vocab_size", "padded_vocab_size"),
        "tied_embeddings": config.flag("tie_word_embeddings", default=False),
    }


def _llama(config: _Config) -> dict[str, Any]:
    bias = config.flag("attention_bias", default=False)
    return {"qkv_bias": bias, "output_bias": bias, "mlp_bias": config.flag("mlp_bias", default=False)}


def _window(config: _Config, *, share: float = 1.0) -> dict[str, Any]:
    layers = config.integer("num_hidden_layers")
    listed = config.raw.get("layer_types")
    sliding = sum(kind == "sliding_attention" for kind in listed) if isinstance(listed, list) else round(layers * share)
    window = config.integer("sliding_window", default=0)
    return {"sliding_window": window, "sliding_layers": sliding if window else 0}


def _mistral(config: _Config) -> dict[str, Any]:
    return _llama(config) | _window(config)


def _mixtral(config: _Config) -> dict[str, Any]:
    return _mistral(config) | {
        "experts": config.integer("num_local_experts"),
        "experts_per_token": config.integer("num_experts_per_tok"),
        "expert_ffn_size": config.integer("intermediate_size"),
    }


def _qwen_window(config: _Config) -> dict[str, Any]:
    return _window(config) if config.flag("use_sliding_window", default=False) else {}


def _qwen2(config: _Config) -> dict[str, Any]:
    return {"qkv_bias": True} | _qwen_window(config)


def _qwen3(config: _Config) -> dict[str, Any]:
    return (
        _llama(config) | {"qk_norm": True, "head_dim": config.integer("head_dim", default=128)} | _qwen_window(config)
    )


def _qwen_experts(config: _Config) -> dict[str, Any]:
    shared = config.integer("shared_expert_intermediate_size", default=0)
    return {
        "experts": config.integer("num_experts"),
        "experts_per_token": config.integer("num_experts_per_tok"),
        "expert_ffn_size": config.integer("moe_intermediate_size"),
        "shared_ffn_size": shared,
        "shared_expert_gate": shared > 0,
        "moe_period": max(config.integer("decoder_sparse_step", default=1), 1),
    }


def _qwen2_moe(config: _Config) -> dict[str, Any]:
    return _qwen2(config) | _qwen_experts(config)


def _qwen3_moe(config: _Config) -> dict[str, Any]:
    return _qwen3(config) | _qwen_experts(config)


def _deepseek_experts(config: _Config) -> dict[str, Any]:
    width = config.integer("moe_intermediate_size")
    return {
        "experts": config.integer("n_routed_experts"),
        "experts_per_token": config.integer("num_experts_per_tok"),
        "expert_ffn_size": width,
        "shared_ffn_size": width * config.integer("n_shared_experts", default=0),
        "dense_layers": config.integer("first_k_dense_replace", default=0),
        "moe_period": max(config.integer("moe_layer_freq", default=1), 1),
    }


def _deepseek(config: _Config) -> dict[str, Any]:
    return _deepseek_experts(config) | {
        "head_dim": config.integer("qk_nope_head_dim"),
        "rope_head_dim": config.integer("qk_rope_head_dim"),
        "value_head_dim": config.integer("v_head_dim"),
        "kv_lora_rank": config.integer("kv_lora_rank"),
        "q_lora_rank": config.integer("q_lora_rank", default=0),
    }


def _deepseek_v3(config: _Config) -> dict[str, Any]:
    mtp = config.integer("num_nextn_predict_layers", default=0)
    return _deepseek(config) | {"router_bias": True, "mtp_layers": mtp}


def _gpt2(config: _Config) -> dict[str, Any]:
    biased = dict.fromkeys(("qkv_bias", "output_bias", "mlp_bias", "norm_bias"), True)
    positions = config.integer("n_positions", "n_ctx", default=1024)
    tied = config.flag("tie_word_embeddings", default=True)
    return {"gated_mlp": False, "tied_embeddings": tied, "learned_positions": positions, **biased}


def _neox(config: _Config) -> dict[str, Any]:
    bias = config.flag("attention_bias", default=True)
    return {"gated_mlp": False, "qkv_bias": bias, "output_bias": bias, "mlp_bias": True, "norm_bias": True}


def _gemma(config: _Config) -> dict[str, Any]:
    return {
        "tied_embeddings": config.flag("tie_word_embeddings", default=True),
        "head_dim": config.integer("head_dim", default=256),
    }


def _gemma2(config: _Config) -> dict[str, Any]:
    return _gemma(config) | {"norms_per_layer": 4} | _window(config, share=0.5)


def _gemma3(config: _Config) -> dict[str, Any]:
    period = max(config.integer("sliding_window_pattern", default=6), 1)
    return _gemma(config) | {"norms_per_layer": 4, "qk_norm": True} | _window(config, share=1 - 1 / period)


def _nemotron(config: _Config) -> dict[str, Any]:
    return _llama(config) | {"gated_mlp": False, "norm_bias": True}


def _chatglm(config: _Config) -> dict[str, Any]:
    return {
        "kv_heads": config.integer("multi_query_group_num", default=config.integer("num_attention_heads")),
        "head_dim": config.integer("kv_channels"),
        "qkv_bias": config.flag("add_qkv_bias", default=True),
    }


def _glm(config: _Config) -> dict[str, Any]:
    return {
        "qkv_bias": config.flag("attention_bias", default=True),
        "head_dim": config.integer("head_dim", default=128),
    }


def _glm4(config: _Config) -> dict[str, Any]:
    return _glm(config) | {"norms_per_layer": 4}


def _glm4_moe(config: _Config) -> dict[str, Any]:
    return (
        _glm(config)
        | _deepseek_experts(config)
        | {
            "qk_norm": config.flag("use_qk_norm", default=False),
            "router_bias": True,
            "mtp_layers": config.integer("num_nextn_predict_layers", default=0),
        }
    )


def _gpt_oss(config: _Config) -> dict[str, Any]:
    width = config.integer("intermediate_size")
    biased = dict.fromkeys(("qkv_bias", "output_bias", "mlp_bias", "router_bias", "attention_sinks"), True)
    return _window(config, share=0.5) | {
        "experts": config.integer("num_local_experts", "num_experts"),
        "experts_per_token": config.integer("num_experts_per_tok", "experts_per_token"),
        "expert_ffn_size": width,
        **biased,
    }


_FAMILIES: dict[str, Callable[[_Config], dict[str, Any]]] = {
    "llama": _llama,
    "mistral": _mistral,
    "mixtral": _mixtral,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek_v3,
    "gpt2": _gpt2,
    "gpt_neox": _neox,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gemma3_text": _gemma3,
    "nemotron": _nemotron,
    "chatglm": _chatglm,
    "glm": _glm,
    "glm4": _glm4,
    "glm4_moe": _glm4_moe,
    "gpt_oss": _gpt_oss,
}

FAMILIES = frozenset(_FAMILIES)
"""Every `model_type` that is read."""

"""The three ways to name a model: preset, Hugging Face config.json, explicit dimensions."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from planner.catalog import UnknownNameError
from planner.engine.errors import InvalidRequest
from planner.engine.inputs.base import Input, Name, refused
from planner.engine.model import Architecture, from_huggingface, from_preset

_Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Optional = Annotated[int, Field(ge=0, le=1_000_000)]


class PresetModel(Input):
    """A model of the catalogue."""

    preset: Name = Field(description="Name in GET /catalog/models.", examples=["llama-2-7b"])


class HuggingFaceModel(Input):
    """A model described by its Hugging Face config.json."""

    huggingface: dict[str, Any] = Field(
        description="The whole config.json as an object; `model_type` decides how it is read.",
        examples=[{"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}],
    )


class ExplicitModel(Input):
    """A model described by its dimensions, under the names of `planner.engine.model.Architecture`."""

    name: Name = "custom"
    layers: Annotated[int, Field(ge=1, le=4096)]
    hidden_size: _Count
    heads: _Count
    vocab_size: Annotated[int, Field(ge=1, le=100_000_000)]
    kv_heads: _Count | None = Field(default=None, description="Key-value heads (GQA, MQA); default: heads.")
    head_dim: _Count | None = Field(default=None, description="Width of one head; default: hidden_size / heads.")
    ffn_size: _Count | None = Field(default=None, description="Width of the MLP; default: 4 x hidden_size.")
    gated_mlp: bool = True
    tied_embeddings: bool = False
    learned_positions: _Optional = 0
    causal: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    qk_norm: bool = False
    norms_per_layer: Annotated[int, Field(ge=1, le=8)] = 2
    sliding_window: _Optional = 0
    sliding_layers: _Optional = 0
    q_lora_rank: _Optional = 0
    kv_lora_rank: _Optional = 0
    rope_head_dim: _Optional = 0
    value_head_dim: _Optional = 0
    experts: Annotated[int, Field(ge=0, le=65_536)] = 0
    experts_per_token: _Optional = 0
    expert_ffn_size: _Optional = 0
    shared_ffn_size: _Optional = 0
    dense_layers: _Optional = 0
    moe_period: Annotated[int, Field(ge=1, le=64)] = 1
    mtp_layers: Annotated[int, Field(ge=0, le=8)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.head_dim is None and self.hidden_size % self.heads:
            raise refused(f"hidden_size {self.hidden_size} is not a multiple of heads {self.heads}", "give head_dim")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise refused(f"kv_heads {self.kv_heads} does not divide heads {self.heads}", "use a divisor of heads")
        if self.experts and not (1 <= self.experts_per_token <= self.experts and self.expert_ffn_size):
            raise refused(
                "experts are described in part", "give expert_ffn_size, and experts_per_token from 1 to experts"
            )
        if self.dense_layers > self.layers or self.sliding_layers > self.layers:
            raise refused(f"dense_layers or sliding_layers exceeds layers {self.layers}", "lower it")
        return self

    def architecture(self) -> Architecture:
        """Return the engine's form, defaults filled."""
        filled = self.model_dump()
        filled["kv_heads"] = self.kv_heads or self.heads
        filled["head_dim"] = self.head_dim or self.hidden_size // self.heads
        filled["ffn_size"] = self.ffn_size or 4 * self.hidden_size
        return Architecture(**filled)


def _kind(value: Any) -> str | None:
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    for name in ("preset", "huggingface"):
        if name in given:
            return name
    return "explicit" if given.keys() & {"layers", "hidden_size", "heads"} else None


ModelSpec = Annotated[
    Annotated[PresetModel, Tag("preset")]
    | Annotated[HuggingFaceModel, Tag("huggingface")]
    | Annotated[ExplicitModel, Tag("explicit")],
    Discriminator(
        _kind,
        custom_error_type="model_kind",
        custom_error_message="names no model",
        custom_error_context={"remedy": "send preset, huggingface with a config.json, or layers and other dimensions"},
    ),
]
"""A model by preset, config.json or dimensions."""


def resolve_model(spec: PresetModel | HuggingFaceModel | ExplicitModel) -> Architecture:
    """Return the architecture `spec` names; InvalidRequest when there is none."""
    if isinstance(spec, ExplicitModel):
        return spec.architecture()
    if isinstance(spec, HuggingFaceModel):
        return from_huggingface(spec.huggingface)
    try:
        return from_preset(spec.preset)
    except UnknownNameError as error:
        closest = ", ".join(error.closest) or "a name from GET /catalog/models"
        raise InvalidRequest("model.preset", spec.preset, "is not a known model", f"use {closest}") from error

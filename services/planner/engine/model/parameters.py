"""Exact parameter counts, split the way parallelism splits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.engine.model.architecture import Architecture


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Parameters of one model by the group that decides how they are sharded.

    `attention` and `mlp` (per layer, shared experts apart) split over tensor parallelism; `replicated` (norms,
    router, MLA down-projections) do not; `expert` is one routed expert and splits over expert and expert-tensor
    parallelism.
    """

    attention: int
    attention_replicated: int
    key_value: int
    norms: int
    dense_mlp: int
    expert: int
    experts: int
    shared_expert: int
    router: int
    embedding: int
    positions: int
    head: int
    final_norm: int
    mtp_extra: int

    @property
    def dense_layer(self) -> int:
        """One layer without experts."""
        return self.attention + self.attention_replicated + self.norms + self.dense_mlp

    @property
    def moe_layer(self) -> int:
        """One layer with experts."""
        routed = self.expert * self.experts
        return self.attention + self.attention_replicated + self.norms + routed + self.shared_expert + self.router

    def total(self, architecture: Architecture) -> int:
        """All parameters, multi-token-prediction layers apart."""
        moe = architecture.moe_layer_count
        blocks = (architecture.layers - moe) * self.dense_layer + moe * self.moe_layer
        return blocks + self.embedding + self.positions + self.head + self.final_norm

    def with_mtp(self, architecture: Architecture) -> int:
        """All parameters, multi-token-prediction layers included."""
        layer = self.moe_layer if architecture.is_moe else self.dense_layer
        return self.total(architecture) + architecture.mtp_layers * (layer + self.mtp_extra)

    def active(self, architecture: Architecture) -> int:
        """Parameters that one token passes through."""
        idle = (self.experts - architecture.experts_per_token) * self.expert
        return self.total(architecture) - architecture.moe_layer_count * idle


def count_parameters(architecture: Architecture) -> ParameterCounts:
    """Count the parameters of `architecture` exactly."""
    hidden = architecture.hidden_size
    norm = hidden * (2 if architecture.norm_bias else 1)
    sharded, replicated, key_value = (
        _latent(architecture) if architecture.is_latent_attention else _grouped(architecture)
    )
    shared = architecture.mlp_matrices * hidden * architecture.shared_ffn_size
    return ParameterCounts(
        attention=sharded,
        attention_replicated=replicated,
        key_value=key_value,
        norms=architecture.norms_per_layer * norm,
        dense_mlp=_mlp(architecture, architecture.ffn_size),
        expert=_mlp(architecture, architecture.expert_ffn_size) if architecture.is_moe else 0,
        experts=architecture.experts,
        shared_expert=shared + (hidden if architecture.shared_expert_gate else 0),
        router=architecture.experts * (hidden + (1 if architecture.router_bias else 0)),
        embedding=architecture.vocab_size * hidden,
        positions=architecture.learned_positions * hidden,
        head=(0 if architecture.tied_embeddings else architecture.vocab_size * hidden)
        + (architecture.vocab_size if architecture.head_bias else 0),
        final_norm=norm,
        mtp_extra=2 * hidden * hidden + 3 * norm,
    )


def _mlp(architecture: Architecture, width: int) -> int:
    weights = architecture.mlp_matrices * architecture.hidden_size * width
    biases = (architecture.mlp_matrices - 1) * width + architecture.hidden_size
    return weights + (biases if architecture.mlp_bias else 0)


def _grouped(architecture: Architecture) -> tuple[int, int, int]:
    hidden, head_dim = architecture.hidden_size, architecture.head_dim
    query, key_value = architecture.heads * head_dim, 2 * architecture.kv_heads * head_dim
    sharded = 2 * hidden * query + hidden * key_value
    sharded += (query + key_value) if architecture.qkv_bias else 0
    sharded += architecture.heads if architecture.attention_sinks else 0
    replicated = (hidden if architecture.output_bias else 0) + (2 * head_dim if architecture.qk_norm else 0)
    return sharded, replicated, hidden * key_value


def _latent(architecture: Architecture) -> tuple[int, int, int]:
    hidden, kv_rank, q_rank = architecture.hidden_size, architecture.kv_lora_rank, architecture.q_lora_rank
    down = hidden * (kv_rank + architecture.rope_head_dim) + kv_rank
    key_value_up = kv_rank * (architecture.heads * architecture.head_dim + architecture.value_size)
    query_up = (q_rank or hidden) * architecture.query_size
    down += hidden * q_rank + q_rank if q_rank else 0
    return query_up + key_value_up + architecture.value_size * hidden, down, 0

"""Dimensions of a decoder-only (or encoder-only) transformer, dense or mixture-of-experts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """A transformer's dimensions. Sizes are elements, counts are per model unless the name says otherwise.

    Multi-head, grouped-query and multi-query attention differ in `kv_heads` only; `kv_lora_rank` > 0 selects
    multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). `experts` > 0 makes every layer after the first
    `dense_layers` a mixture of experts (each `moe_period`-th of them), with `shared_ffn_size` the total width of the
    always-active experts.
    """

    name: str
    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn_size: int
    vocab_size: int
    gated_mlp: bool = True
    tied_embeddings: bool = False
    learned_positions: int = 0
    causal: bool = True

    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    norm_bias: bool = False
    norms_per_layer: int = 2
    qk_norm: bool = False
    attention_sinks: bool = False

    sliding_window: int = 0
    sliding_layers: int = 0

    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    rope_head_dim: int = 0
    value_head_dim: int = 0

    experts: int = 0
    experts_per_token: int = 0
    expert_ffn_size: int = 0
    shared_ffn_size: int = 0
    shared_expert_gate: bool = False
    router_bias: bool = False
    dense_layers: int = 0
    moe_period: int = 1

    mtp_layers: int = 0

    @property
    def is_moe(self) -> bool:
        """Whether some layers route tokens to experts."""
        return self.experts > 0

    @property
    def is_latent_attention(self) -> bool:
        """Whether attention is multi-head latent attention (MLA)."""
        return self.kv_lora_rank > 0

    @property
    def leading_dense_layers(self) -> int:
        """Layers, from the first on, that hold no experts: all of them in a dense model."""
        return self.dense_layers if self.is_moe else self.layers

    @property
    def moe_layer_count(self) -> int:
        """Layers that hold experts."""
        return (self.layers - self.dense_layers) // self.moe_period if self.is_moe else 0

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices of one MLP: gate, up, down, or up, down."""
        return 3 if self.gated_mlp else 2

    @property
    def query_size(self) -> int:
        """Width of all heads' queries; in MLA with the rotary part."""
        return self.heads * (self.head_dim + self.rope_head_dim)

    @property
    def value_size(self) -> int:
        """Width of all heads' values, which is what the output projection reads."""
        return self.heads * (self.value_head_dim or self.head_dim)

    def attended_positions(self, sequence_length: int) -> float:
        """Return the mean number of key positions one query attends to, over all layers.

        Full causal attention attends (s + 1) / 2; a causal window w attends w - w (w - 1) / (2 s).
        """
        full = (sequence_length + 1) / 2 if self.causal else float(sequence_length)
        if not 0 < self.sliding_window < sequence_length or not self.sliding_layers:
            return full
        width = self.sliding_window
        windowed = width - width * (width - 1) / (2 * sequence_length)
        share = self.sliding_layers / self.layers
        return share * windowed + (1 - share) * full

"""One question with everything resolved: what the stages of a search share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from planner.engine.inputs.workload import OPERAND_BITS
from planner.engine.model import Architecture, ParameterCounts, count_parameters

if TYPE_CHECKING:
    from planner.engine.hardware import Device


@dataclass(frozen=True)
class Problem:
    """Train `architecture` on `gpus` devices of one type, `batch` sequences of `sequence` tokens per step."""

    architecture: Architecture
    device: Device
    gpus: int
    batch: int
    sequence: int
    precision: str
    gradient_bytes: int
    flash_attention: bool

    @cached_property
    def parameters(self) -> ParameterCounts:
        """Parameter counts of the model."""
        return count_parameters(self.architecture)

    @cached_property
    def mtp(self) -> int:
        """Multi-token-prediction layers, which stand on the last stage."""
        return self.architecture.mtp_layers

    @property
    def is_low_precision(self) -> bool:
        """Whether matrix products take operands narrower than 16 bits."""
        return self.operand_bits < OPERAND_BITS["bf16"]

    @property
    def operand_bits(self) -> int:
        """Bits of a matrix product's operands."""
        return OPERAND_BITS[self.precision]

    @cached_property
    def model_flops_per_token(self) -> float:
        """Forward and backward model FLOPs per token.

        6 per active matrix weight and 12 per attended position and width.

        The causal convention: a query is charged only for the positions it attends to. No recomputation.
        """
        arch, counts = self.architecture, self.parameters
        moe = arch.moe_layer_count
        attention = counts.attention + counts.attention_replicated
        routed = counts.expert * arch.experts_per_token + counts.shared_expert + counts.router
        matmul = arch.layers * attention + (arch.layers - moe) * counts.dense_mlp + moe * routed
        mixing = self.mtp * (attention + (routed if arch.is_moe else counts.dense_mlp) + counts.mtp_extra)
        head = arch.vocab_size * arch.hidden_size * (1 + self.mtp)
        width = arch.query_size + arch.value_size
        scores = (arch.layers + self.mtp) * width * arch.attended_positions(self.sequence)
        return 6.0 * (matmul + mixing + head + scores)

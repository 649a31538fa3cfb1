"""What is trained on: batch, sequence, tokens, precision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.engine.inputs.base import Input

Precision = Literal["bf16", "fp16", "fp8", "mxfp8", "nvfp4"]
"""Operand precision of the matrix products; weights stay 16-bit, masters and moments 32-bit."""

OPERAND_BITS: dict[str, int] = {"bf16": 16, "fp16": 16, "fp8": 8, "mxfp8": 8, "nvfp4": 4}


class Workload(Input):
    """One training job's data side."""

    global_batch_size: int = Field(
        ge=1, le=16_777_216, description="Sequences per optimizer step, over all GPUs.", examples=[512]
    )
    sequence_length: int = Field(ge=1, le=16_777_216, description="Tokens per sequence.", examples=[4096])
    tokens: float | None = Field(
        default=None,
        gt=0,
        le=1e18,
        description="Tokens to train on; with it a plan states time to train and money.",
        examples=[2e12],
    )
    precision: Precision = Field(default="bf16", description="Operand precision of the matrix products.")
    gradient_precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="Precision in which gradients are accumulated and reduced.",
    )

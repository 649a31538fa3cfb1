"""What a training framework does that a row does not restate."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from planner.catalog.calibrations import DEFAULT_STACK


@dataclass(frozen=True, slots=True)
class Stack:
    """A software stack's habits, taken where a row leaves the field empty.

    `name` selects the calibration. `flash`: fused attention kernels. `overlaps`: hides data-parallel and pipeline
    traffic by default; `tensor_overlap`: user-buffer overlap of tensor-parallel traffic under sequence parallelism.
    `gradient_precision`: in which gradients are reduced and accumulated. `age_months`: how far the release is behind.
    """

    name: str
    flash: bool = True
    overlaps: bool = True
    tensor_overlap: bool = False
    gradient_precision: str = "fp32"
    age_months: float = 0.0


_MODERN = Stack(DEFAULT_STACK, tensor_overlap=True)
_NEMO = Stack(DEFAULT_STACK, tensor_overlap=True, gradient_precision="bf16")
_NEMO_2606 = Stack("megatron-core-26.06", tensor_overlap=True, gradient_precision="bf16")
_FUSED_EXPERTS = r"megatron-bridge/nemo (26\.(0[6-9]|1)|2[7-9])"
_MONTHS = 12
_NEWEST = 26 * _MONTHS + 5
"""The release from which on no gain was measured."""
_PLAIN = Stack(DEFAULT_STACK, overlaps=False)
_LEGACY = Stack("megatron-legacy", flash=False, overlaps=False)
_KNOWN = (
    (r"maxtext|paxml|jax", Stack("jax")),
    (r"torchtitan|olmo|pytorch fsdp|meta internal", Stack("fsdp")),
    (r"foundry|composer|fsdp|zero-3|hf |deepspeed \(hf|metaseq", Stack("fsdp")),
    (r"zero-bubble", Stack("megatron-flash", flash=False, overlaps=False)),
    (r"interne?vo|nanotron|megatron-llama|megascale", Stack("megatron-flash")),
    (r"sailor", Stack("megatron-legacy", flash=False, overlaps=False)),
    (r"deepspeed|vtrain|sc21|2020|2022|korthikanti|mt-nlg|bignlp|neox|big-science", _LEGACY),
    (r"megatron-lm [0-9a-f]{7}", _PLAIN),
    (r"nemo|megatron-bridge", _NEMO),
    (r"megatron-core|megatron-moe|megatron-lm|megatron", _MODERN),
)


def stack_of(framework: str, *, fused_experts: bool = False) -> Stack:
    """Return the stack that `framework` names for a model with or without experts; the default for unknown names."""
    name = framework.lower()
    stack = next((stack for pattern, stack in _KNOWN if re.search(pattern, name)), _MODERN)
    if stack is not _NEMO:
        return stack
    if fused_experts and re.search(_FUSED_EXPERTS, name):
        stack = _NEMO_2606
    return replace(stack, age_months=_age_months(name))


def _age_months(name: str) -> float:
    """Return how many months the release in `name` is behind the newest; a patch counts as a month, none as newest."""
    release = re.search(r"\b[v ]?(\d\d)\.(\d\d)(\.\d+)?", name)
    if release is None:
        return 0.0
    year, month = int(release[1]), int(release[2])
    return max(_NEWEST - (year * _MONTHS + month + bool(release[3])), 0)

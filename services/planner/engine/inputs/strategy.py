"""One way to train: every dimension of the space, fixed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.engine.inputs.base import Input

Degree = Annotated[int, Field(ge=1, le=1_048_576)]
Schedule = Literal["1f1b", "interleaved", "zero_bubble"]
PipelineSplit = Literal["even", "embedding", "loss", "embedding_and_loss", "layout"]
Sharding = Literal["none", "zero1", "zero1_node", "zero2", "zero3", "zero3_node"]
RecomputeModule = Literal["core_attn", "layernorm", "mlp", "mla_up_proj", "moe_act", "shared_experts", "moe"]
Attention = Literal["flash", "unfused"]
ContextComm = Literal["p2p", "a2a"]


class Strategy(Input):
    """A complete parallel strategy under Megatron-Core's dimensions.

    `data_parallel` and `schedule` may be left out: they follow from the cluster and `virtual_pipeline`. `sharding`
    says what data-parallel ranks split: nothing, optimizer state (`zero1`, Megatron's distributed optimizer), also
    gradients (`zero2`), also weights (`zero3`, FSDP); `_node` splits within a node only and replicates across nodes.
    """

    tensor_parallel: Degree = 1
    context_parallel: Degree = 1
    pipeline_parallel: Degree = 1
    virtual_pipeline: Degree = 1
    data_parallel: Degree | None = None
    expert_parallel: Degree = 1
    expert_tensor_parallel: Degree = 1
    micro_batch_size: Degree = 1
    schedule: Schedule | None = None
    pipeline_split: PipelineSplit | None = Field(
        default=None,
        description="Which of embedding and loss count as a layer of a stage; default: the first that divides.",
    )
    sequence_parallel: bool = False
    sharding: Sharding = "zero1"
    recompute: Literal["none", "selective", "full"] = "none"
    recompute_modules: list[RecomputeModule] = Field(
        default=[], description="Modules of selective recomputation; empty: core_attn."
    )
    recompute_method: Literal["uniform", "block"] | None = None
    recompute_layers: Degree | None = Field(
        default=None, description="Layers recomputed per model chunk (block); default: all."
    )
    activation_offload: bool = False
    optimizer_offload: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the optimizer state kept and stepped on the host.",
    )
    tp_overlap: bool = False
    p2p_overlap: bool = False
    context_comm: ContextComm = Field(
        default="p2p",
        description="Exchange of keys and values: around a ring, or all-to-all over heads (Ulysses).",
    )
    grad_reduce_overlap: bool = True
    param_gather_overlap: bool = True
    attention: Attention | None = Field(default=None, description="Attention kernel; default: the best the GPU has.")

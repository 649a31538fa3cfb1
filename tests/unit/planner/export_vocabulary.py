"""The names the consumers of exports define, as far as exports use them, each with its source."""

from __future__ import annotations

MEGATRON = frozenset(
    [
        "num-layers",
        "hidden-size",
        "ffn-hidden-size",
        "num-attention-heads",
        "kv-channels",
        "group-query-attention",
        "num-query-groups",
        "seq-length",
        "max-position-embeddings",
        "vocab-size",
        "position-embedding-type",
        "normalization",
        "swiglu",
        "untie-embeddings-and-output-weights",
        "disable-bias-linear",
        "add-qkv-bias",
        "qk-layernorm",
        "multi-latent-attention",
        "kv-lora-rank",
        "q-lora-rank",
        "qk-head-dim",
        "qk-pos-emb-head-dim",
        "v-head-dim",
        "softmax-type",
        "window-size",
        "window-attn-skip-freq",
        "mtp-num-layers",
        "num-experts",
        "moe-router-topk",
        "moe-ffn-hidden-size",
        "moe-grouped-gemm",
        "moe-token-dispatcher-type",
        "moe-shared-expert-intermediate-size",
        "moe-layer-freq",
        "tensor-model-parallel-size",
        "pipeline-model-parallel-size",
        "context-parallel-size",
        "cp-comm-type",
        "expert-model-parallel-size",
        "expert-tensor-parallel-size",
        "micro-batch-size",
        "global-batch-size",
        "bf16",
        "fp16",
        "fp8-format",
        "fp8-recipe",
        "fp4-format",
        "fp4-recipe",
        "accumulate-allreduce-grads-in-fp32",
        "grad-reduce-in-bf16",
        "attention-backend",
        "sequence-parallel",
        "pipeline-model-parallel-layout",
        "account-for-embedding-in-pipeline-split",
        "account-for-loss-in-pipeline-split",
        "num-virtual-stages-per-pipeline-rank",
        "recompute-granularity",
        "recompute-modules",
        "recompute-method",
        "recompute-num-layers",
        "optimizer-cpu-offload",
        "optimizer-offload-fraction",
        "use-precision-aware-optimizer",
        "overlap-cpu-optimizer-d2h-h2d",
        "use-megatron-fsdp",
        "data-parallel-sharding-strategy",
        "ckpt-format",
        "use-distributed-optimizer",
        "num-distributed-optimizer-instances",
        "overlap-grad-reduce",
        "overlap-param-gather",
        "tp-comm-overlap",
        "no-overlap-p2p-communication",
    ]
)
"""NVIDIA/Megatron-LM, megatron/training/arguments.py, commit 000c4ac2."""

MEGATRON_CHOICES = {
    "data-parallel-sharding-strategy": {"no_shard", "optim", "optim_grads", "optim_grads_params"},
    "recompute-granularity": {"full", "selective"},
    "recompute-method": {"uniform", "block"},
    "recompute-modules": {"core_attn", "moe_act", "layernorm", "mla_up_proj", "mlp", "moe", "shared_experts"},
    "position-embedding-type": {"learned_absolute", "rope", "mrope", "relative", "none"},
    "moe-token-dispatcher-type": {"allgather", "alltoall", "flex"},
    "softmax-type": {"learnable", "vanilla", "off-by-one"},
    "attention-backend": {"flash", "fused", "unfused", "local", "auto"},
    "ckpt-format": {"torch", "torch_dist", "zarr", "torch_dcp", "fsdp_dtensor"},
    "cp-comm-type": {"p2p", "a2a", "allgather", "a2a+p2p"},
}
"""The same source."""

BRIDGE = {
    "model": frozenset(
        [
            "tensor_model_parallel_size",
            "pipeline_model_parallel_size",
            "context_parallel_size",
            "sequence_parallel",
            "cp_comm_type",
            "expert_model_parallel_size",
            "expert_tensor_parallel_size",
            "virtual_pipeline_model_parallel_size",
            "pipeline_model_parallel_layout",
            "account_for_embedding_in_pipeline_split",
            "account_for_loss_in_pipeline_split",
            "recompute_granularity",
            "recompute_modules",
            "recompute_method",
            "recompute_num_layers",
            "cpu_offloading",
            "cpu_offloading_num_layers",
            "seq_length",
        ]
    ),
    "ddp": frozenset(
        [
            "use_distributed_optimizer",
            "overlap_grad_reduce",
            "overlap_param_gather",
            "use_megatron_fsdp",
            "data_parallel_sharding_strategy",
            "num_distributed_optimizer_instances",
        ]
    ),
    "dist": frozenset({"use_megatron_fsdp"}),
    "train": frozenset({"micro_batch_size", "global_batch_size"}),
    "dataset": frozenset({"seq_length"}),
    "checkpoint": frozenset({"ckpt_format"}),
    "optimizer": frozenset({"optimizer_cpu_offload", "optimizer_offload_fraction", "use_precision_aware_optimizer"}),
    "mixed_precision": frozenset({"grad_reduce_in_fp32"}),
}
"""The configuration classes of Megatron-Bridge 0.3.1 (training/config.py) and Megatron-Core 0.16.1."""

BRIDGE_OVERLAP = frozenset(
    {"tp_comm_overlap", "overlap_p2p_comm", "batch_p2p_comm", "overlap_grad_reduce", "overlap_param_gather"}
)
"""CommOverlapConfig of Megatron-Bridge 0.3.1, training/comm_overlap.py."""

BRIDGE_PRECISIONS = frozenset(
    [
        "bf16_mixed",
        "fp16_mixed",
        "bf16_with_fp8_current_scaling_mixed",
        "bf16_with_mxfp8_mixed",
        "bf16_with_nvfp4_mixed",
    ]
)
"""Recipes registered in Megatron-Bridge 0.3.1, training/mixed_precision.py."""

TORCHTITAN = {
    "training": frozenset({"local_batch_size", "global_batch_size", "seq_len"}),
    "parallelism": frozenset(
        [
            "data_parallel_replicate_degree",
            "data_parallel_shard_degree",
            "fsdp_reshard_after_forward",
            "tensor_parallel_degree",
            "enable_async_tensor_parallel",
            "pipeline_parallel_degree",
            "pipeline_parallel_schedule",
            "module_fqns_per_model_part",
            "pipeline_parallel_microbatch_size",
            "context_parallel_degree",
            "context_parallel_rotate_method",
            "expert_parallel_degree",
            "expert_tensor_parallel_degree",
        ]
    ),
    "activation_checkpoint": frozenset({"mode"}),
    "model": frozenset({"converters"}),
    "compile": frozenset({"enable", "components"}),
}
"""torchtitan 0.2.2, torchtitan/config/job_config.py."""

DEEPSPEED = frozenset(
    [
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "gradient_accumulation_steps",
        "bf16",
        "fp16",
        "zero_optimization",
        "tensor_parallel",
        "activation_checkpointing",
        "data_types",
    ]
)
DEEPSPEED_ZERO = frozenset(
    ["stage", "overlap_comm", "contiguous_gradients", "reduce_scatter", "zero_hpz_partition_size", "offload_optimizer"]
)
"""DeepSpeed 0.19.8, deepspeed/runtime/config.py and deepspeed/runtime/zero/config.py."""

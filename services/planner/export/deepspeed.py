"""A DeepSpeed configuration (JSON), under the names of its configuration classes.

Checked against DeepSpeed 0.19.8. Activation checkpoints, pipelines, context and expert parallelism are built in the
training script there.
"""

from __future__ import annotations

import json

from planner.export.context import CannotExpressError, Export, PlanContext

_CONSUMER = "DeepSpeed"
_STAGE = {"none": 0, "zero1": 1, "zero2": 2, "zero3": 3, "zero3_node": 3}


def deepspeed(context: PlanContext) -> Export:
    """Return the configuration; CannotExpressError names the dimension that does not fit."""
    _refuse(context)
    strategy, work = context.strategy, context.workload
    config: dict[str, object] = {
        "train_batch_size": work.global_batch_size,
        "train_micro_batch_size_per_gpu": strategy.micro_batch_size,
        "gradient_accumulation_steps": context.micro_batches,
        "fp16" if work.precision == "fp16" else "bf16": {"enabled": True},
        "zero_optimization": _zero(context),
    }
    if strategy.tensor_parallel > 1:
        config["tensor_parallel"] = {"autotp_size": strategy.tensor_parallel}
    if strategy.recompute == "full":
        config["activation_checkpointing"] = {"partition_activations": False, "cpu_checkpointing": False}
    if work.gradient_precision == "fp32":
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return Export("deepspeed.json", "application/json", json.dumps(config, indent=2) + "\n")


def _zero(context: PlanContext) -> dict[str, object]:
    strategy = context.strategy
    values: dict[str, object] = {
        "stage": _STAGE[strategy.sharding],
        "overlap_comm": strategy.grad_reduce_overlap,
        "contiguous_gradients": True,
        "reduce_scatter": True,
    }
    if strategy.sharding == "zero3_node":
        values["zero_hpz_partition_size"] = context.gpus_per_node
    if strategy.optimizer_offload:
        values["offload_optimizer"] = {"device": "cpu", "pin_memory": True, "ratio": strategy.optimizer_offload}
    return values


def _refuse(context: PlanContext) -> None:
    strategy = context.strategy
    partial = 0 < strategy.optimizer_offload < 1 and strategy.sharding not in {"zero3", "zero3_node"}
    refusals: list[tuple[bool, str, object, str]] = [
        (
            strategy.pipeline_parallel > 1,
            "pipeline_parallel",
            strategy.pipeline_parallel,
            "pipelines are built in code",
        ),
        (strategy.context_parallel > 1, "context_parallel", strategy.context_parallel, "it is built in code"),
        (strategy.expert_parallel > 1, "expert_parallel", strategy.expert_parallel, "it is built in code"),
        (strategy.sequence_parallel, "sequence_parallel", True, "its tensor parallelism does not shard the sequence"),
        (strategy.sharding == "zero1_node", "sharding", "zero1_node", "only stage 3 partitions within a node"),
        (
            strategy.sharding == "zero3_node" and strategy.tensor_parallel > 1,
            "sharding",
            "zero3_node",
            "its partitions within a node leave no room for tensor parallelism",
        ),
        (strategy.recompute == "selective", "recompute", "selective", "checkpoints are whole layers"),
        (
            strategy.recompute_method == "block",
            "recompute_layers",
            strategy.recompute_layers,
            "it checkpoints all layers",
        ),
        (strategy.activation_offload, "activation_offload", True, "it offloads checkpoints only"),
        (partial, "optimizer_offload", strategy.optimizer_offload, "a ratio needs stage 3"),
        (
            context.workload.precision not in {"bf16", "fp16"},
            "precision",
            context.workload.precision,
            "low precision is the model's own",
        ),
    ]
    for refused, dimension, value, reason in refusals:
        if refused:
            raise CannotExpressError(_CONSUMER, dimension, value, reason)

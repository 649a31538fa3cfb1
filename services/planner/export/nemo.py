"""A Megatron-Bridge (NeMo) recipe: overrides on a ConfigContainer, under the names of its configuration classes.

Checked against Megatron-Bridge 0.3.1 and Megatron-Core 0.16.1. The communication overlap and the mixed precision are
applied last there, over what `model` and `ddp` say: so the plan's overlaps and gradient precision are set in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.export.context import CannotExpressError, Export, PlanContext
from planner.export.megatron import layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.inputs import Strategy

_CONSUMER = "Megatron-Bridge"
_HEADER = '''"""{title}

Apply to the ConfigContainer of the model's own recipe before training:

    cfg = pretrain_config()
    apply(cfg)
"""

from megatron.bridge.training.comm_overlap import CommOverlapConfig
from megatron.bridge.training.mixed_precision import get_mixed_precision_config


def apply(cfg):
'''
_MIXED_PRECISION = {
    "bf16": "bf16_mixed",
    "fp16": "fp16_mixed",
    "fp8": "bf16_with_fp8_current_scaling_mixed",
    "mxfp8": "bf16_with_mxfp8_mixed",
    "nvfp4": "bf16_with_nvfp4_mixed",
}


def nemo(context: PlanContext) -> Export:
    """Return a Python file that sets the plan's values; CannotExpressError names the dimension that does not fit."""
    settings = [*_model(context), *_training(context), *_optimizer(context)]
    lines = "\n".join(f"    cfg.{name} = {value!r}" for name, value in settings)
    candidate = context.candidate
    title = f"{context.architecture.name} on {candidate.gpus} x {candidate.gpu}."
    text = f"{_HEADER.format(title=title)}{lines}\n{_precision(context)}{_overlap(context.strategy)}"
    return Export("recipe.py", "text/x-python", text)


def _precision(context: PlanContext) -> str:
    recipe = _MIXED_PRECISION[context.workload.precision]
    reduce_in_fp32 = context.workload.gradient_precision == "fp32"
    return (
        f"    cfg.mixed_precision = get_mixed_precision_config({recipe!r})\n"
        f"    cfg.mixed_precision.grad_reduce_in_fp32 = {reduce_in_fp32}\n"
    )


def _overlap(strategy: Strategy) -> str:
    overlap_p2p = strategy.virtual_pipeline > 1 and strategy.p2p_overlap
    values = {
        "tp_comm_overlap": strategy.tp_overlap,
        "overlap_p2p_comm": overlap_p2p,
        "batch_p2p_comm": strategy.pipeline_parallel > 1 and not overlap_p2p,
        "overlap_grad_reduce": strategy.grad_reduce_overlap,
        "overlap_param_gather": strategy.param_gather_overlap,
    }
    arguments = "".join(f"        {name}={value},\n" for name, value in values.items())
    return f"    cfg.comm_overlap = CommOverlapConfig(\n{arguments}    )\n"


def _model(context: PlanContext) -> Iterator[tuple[str, object]]:
    strategy = context.strategy
    if strategy.schedule == "zero_bubble":
        raise CannotExpressError(_CONSUMER, "schedule", "zero_bubble", "it has 1F1B and interleaved 1F1B only")
    yield "model.tensor_model_parallel_size", strategy.tensor_parallel
    yield "model.pipeline_model_parallel_size", strategy.pipeline_parallel
    yield "model.context_parallel_size", strategy.context_parallel
    yield "model.sequence_parallel", strategy.sequence_parallel
    if strategy.context_parallel > 1:
        yield "model.cp_comm_type", strategy.context_comm
    if context.architecture.is_moe:
        yield "model.expert_model_parallel_size", strategy.expert_parallel
        yield "model.expert_tensor_parallel_size", strategy.expert_tensor_parallel
    if strategy.virtual_pipeline > 1:
        yield "model.virtual_pipeline_model_parallel_size", strategy.virtual_pipeline
    yield from _split(context)
    yield from _recompute(context)


def _split(context: PlanContext) -> Iterator[tuple[str, object]]:
    split = context.strategy.pipeline_split or "even"
    if context.candidate.assignment is not None or split == "layout":
        yield "model.pipeline_model_parallel_layout", layout_of(context)
        return
    if split in {"embedding", "embedding_and_loss"}:
        yield "model.account_for_embedding_in_pipeline_split", True
    if split in {"loss", "embedding_and_loss"}:
        yield "model.account_for_loss_in_pipeline_split", True


def _recompute(context: PlanContext) -> Iterator[tuple[str, object]]:
    strategy = context.strategy
    yield "model.recompute_granularity", None if strategy.recompute == "none" else strategy.recompute
    if strategy.recompute == "selective":
        yield "model.recompute_modules", list(strategy.recompute_modules)
    if strategy.recompute == "full":
        yield "model.recompute_method", strategy.recompute_method
        yield "model.recompute_num_layers", strategy.recompute_layers or 1
    if strategy.activation_offload:
        yield "model.cpu_offloading", True
        yield "model.cpu_offloading_num_layers", context.architecture.layers - 1


def _training(context: PlanContext) -> Iterator[tuple[str, object]]:
    work = context.workload
    yield "model.seq_length", work.sequence_length
    yield "dataset.seq_length", work.sequence_length
    yield "train.micro_batch_size", context.strategy.micro_batch_size
    yield "train.global_batch_size", work.global_batch_size


def _optimizer(context: PlanContext) -> Iterator[tuple[str, object]]:
    strategy = context.strategy
    yield "ddp.use_distributed_optimizer", strategy.sharding != "none"
    yield "ddp.overlap_grad_reduce", strategy.grad_reduce_overlap
    yield "ddp.overlap_param_gather", strategy.param_gather_overlap
    if strategy.sharding in {"zero2", "zero3", "zero3_node"}:
        yield "dist.use_megatron_fsdp", True
        yield "ddp.use_megatron_fsdp", True
        yield "checkpoint.ckpt_format", "fsdp_dtensor"
        strategies = {"zero2": "optim_grads"}
        yield "ddp.data_parallel_sharding_strategy", strategies.get(strategy.sharding, "optim_grads_params")
    if strategy.sharding.endswith("_node"):
        ranks = (strategy.data_parallel or 1) * strategy.context_parallel
        node = max(context.gpus_per_node // strategy.tensor_parallel, 1)
        yield "ddp.num_distributed_optimizer_instances", max(ranks // node, 1)
    if strategy.optimizer_offload:
        yield "optimizer.optimizer_cpu_offload", True
        yield "optimizer.optimizer_offload_fraction", strategy.optimizer_offload
        yield "optimizer.use_precision_aware_optimizer", True

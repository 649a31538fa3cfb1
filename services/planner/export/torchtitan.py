"""A torchtitan job configuration (TOML), under the names of its JobConfig.

Checked against torchtitan 0.2.2, the last version that reads TOML: 0.3 takes the same names in Python configurations.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from planner.export.context import CannotExpressError, Export, PlanContext

if TYPE_CHECKING:
    from planner.engine.inputs import Strategy

_CONSUMER = "torchtitan"


def torchtitan(context: PlanContext) -> Export:
    """Return the sections a plan decides; CannotExpressError names the dimension that does not fit."""
    strategy = context.strategy
    _refuse(context)
    sections: dict[str, dict[str, object]] = {
        "training": {
            "local_batch_size": context.workload.global_batch_size // (strategy.data_parallel or 1),
            "global_batch_size": context.workload.global_batch_size,
            "seq_len": context.workload.sequence_length,
        },
        "parallelism": _parallelism(context),
        "activation_checkpoint": _checkpoint(strategy),
    }
    if strategy.pipeline_parallel == 1:
        sections["training"]["local_batch_size"] = strategy.micro_batch_size
    if context.workload.precision in {"fp8", "mxfp8"}:
        kind = "float8" if context.workload.precision == "fp8" else "mx"
        sections["model"] = {"converters": [f"quantize.linear.{kind}"]}
    if strategy.tp_overlap:
        sections["compile"] = {"enable": True, "components": ["model", "loss"]}
    body = "\n".join(_section(name, values) for name, values in sections.items())
    return Export("torchtitan.toml", "application/toml", body)


def _refuse(context: PlanContext) -> None:
    strategy = context.strategy
    refusals: list[tuple[bool, str, object, str]] = [
        (
            context.candidate.assignment is not None,
            "assignment",
            context.candidate.gpu,
            "stages of unlike size and type",
        ),
        (strategy.schedule == "zero_bubble", "schedule", "zero_bubble", "ZB-H1 is not among its schedules"),
        (strategy.sharding == "none", "sharding", "none", "its mixed precision shards by FSDP; use zero2 or zero3"),
        (strategy.sharding in {"zero1", "zero1_node"}, "sharding", strategy.sharding, "FSDP shards gradients too"),
        (strategy.optimizer_offload > 0, "optimizer_offload", strategy.optimizer_offload, "it offloads all or nothing"),
        (strategy.activation_offload, "activation_offload", True, "it has no activation offload"),
        (strategy.recompute == "selective", "recompute", "selective", "it picks operators, not modules"),
        (
            context.architecture.is_moe and strategy.expert_tensor_parallel not in {1, strategy.tensor_parallel},
            "expert_tensor_parallel",
            strategy.expert_tensor_parallel,
            "it is 1 or the tensor parallel degree",
        ),
        (
            context.workload.gradient_precision == "bf16",
            "gradient_precision",
            "bf16",
            "it reduces gradients in fp32",
        ),
        (context.architecture.mtp_layers > 0, "mtp_layers", context.architecture.mtp_layers, "it predicts one token"),
        (strategy.context_comm == "a2a", "context_comm", "a2a", "its context parallelism is a ring"),
        (
            strategy.tensor_parallel > 1 and not strategy.sequence_parallel,
            "sequence_parallel",
            False,
            "its tensor parallelism always shards the sequence",
        ),
        (
            context.workload.precision in {"fp16", "nvfp4"},
            "precision",
            context.workload.precision,
            "it trains in bf16 or fp8",
        ),
    ]
    for refused, dimension, value, reason in refusals:
        if refused:
            raise CannotExpressError(_CONSUMER, dimension, value, reason)


def _parallelism(context: PlanContext) -> dict[str, object]:
    strategy = context.strategy
    data = strategy.data_parallel or 1
    by_node = strategy.sharding == "zero3_node"
    node = max(context.gpus_per_node // (strategy.tensor_parallel * strategy.context_parallel), 1)
    shard = min(node, data) if by_node else data
    values: dict[str, object] = {
        "data_parallel_replicate_degree": data // shard,
        "data_parallel_shard_degree": shard,
        "fsdp_reshard_after_forward": "never" if strategy.sharding == "zero2" else "always",
        "tensor_parallel_degree": strategy.tensor_parallel,
        "enable_async_tensor_parallel": strategy.tp_overlap,
        "context_parallel_degree": strategy.context_parallel,
        "context_parallel_rotate_method": "alltoall",
        "pipeline_parallel_degree": strategy.pipeline_parallel,
    }
    if context.architecture.is_moe:
        values["expert_parallel_degree"] = strategy.expert_parallel
        values["expert_tensor_parallel_degree"] = strategy.expert_tensor_parallel
    if strategy.pipeline_parallel > 1:
        interleaved = strategy.virtual_pipeline > 1
        values["pipeline_parallel_schedule"] = "Interleaved1F1B" if interleaved else "1F1B"
        values["pipeline_parallel_microbatch_size"] = strategy.micro_batch_size
        values["module_fqns_per_model_part"] = _modules(context)
    return values


def _modules(context: PlanContext) -> list[list[str]]:
    """Name the modules of every model chunk, in the order tokens pass them."""
    rows = context.stage_chunks()
    counts = [row[chunk] for chunk in range(len(rows[0])) for row in rows]
    firsts = accumulate(counts, initial=0)
    parts = [
        [f"layers.{first + index}" for index in range(count)] for first, count in zip(firsts, counts, strict=False)
    ]
    parts[0].insert(0, "tok_embeddings")
    parts[-1] += ["norm", "output"]
    return parts


def _checkpoint(strategy: Strategy) -> dict[str, object]:
    if strategy.recompute == "full" and strategy.recompute_method == "block":
        reason = "it recomputes every n-th layer, not the first n"
        raise CannotExpressError(_CONSUMER, "recompute_layers", strategy.recompute_layers, reason)
    return {"mode": strategy.recompute}


def _section(name: str, values: dict[str, object]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""])


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)

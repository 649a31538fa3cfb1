"""From the columns that describe parallelism to a strategy of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.engine import Strategy
from planner.validation.rows import InexpressibleError, Row

if TYPE_CHECKING:
    from planner.validation.stacks import Stack

_SHARDINGS = {"0": "none", "1": "zero1", "2": "zero2", "3": "zero3"}
_MODULES = {"rmsnorm": "layernorm", "layernorm": "layernorm", "mla up": "mla_up_proj", "mla_up": "mla_up_proj"}


def strategy_of(row: Row, stack: Stack) -> Strategy:
    """Return the strategy of `row`; InexpressibleError on contradictory degrees, ValidationError on bad values."""
    degrees = _degrees(row)
    sharding = _sharding(row, degrees["data_parallel"] * degrees["context_parallel"])
    tensor = degrees["tensor_parallel"]
    sequence = tensor > 1 and _sequence_parallel(row, stack)
    return Strategy(
        **degrees,
        micro_batch_size=row.needed("micro_batch"),
        schedule="zero_bubble" if row.text("schedule").lower().startswith("zb") else None,
        sequence_parallel=sequence,
        sharding=sharding,
        tp_overlap=sequence and _tensor_overlap(row, stack),
        **_overlaps(row, stack, sharding, degrees["virtual_pipeline"]),
        **_recompute(row.text("recompute").lower()),
        optimizer_offload=1.0 if "optimizer" in row.text("offload") else 0.0,
        attention="flash" if stack.flash and row.text("gpu_type") != "V100" else "unfused",
    )


def _degrees(row: Row) -> dict[str, int]:
    pipeline = row.needed("pp")
    degrees = {
        "tensor_parallel": row.needed("tp"),
        "pipeline_parallel": pipeline,
        "virtual_pipeline": row.degree("vpp") if pipeline > 1 else 1,
        "context_parallel": row.degree("cp"),
        "expert_parallel": row.degree("ep"),
        "expert_tensor_parallel": row.degree("etp"),
    }
    gpus = row.needed("num_gpus")
    model = degrees["tensor_parallel"] * pipeline * degrees["context_parallel"]
    data = row.integer("dp", max(gpus // model, 1))
    if model * data != gpus:
        raise InexpressibleError(f"dp: tp x pp x cp x dp = {model * data}, num_gpus says {gpus}")
    batch, micro = row.needed("global_batch"), row.needed("micro_batch")
    if batch % (micro * data):
        raise InexpressibleError(f"micro_batch: {micro} x dp {data} does not divide global_batch {batch}")
    return {**degrees, "data_parallel": data}


def _sharding(row: Row, ranks: int) -> str:
    """FSDP groups narrower than the data-parallel ranks shard within the node and replicate across."""
    stage = row.text("zero_stage")[:1] or ("1" if row.flag("dist_opt") else "0")
    if stage not in _SHARDINGS:
        raise InexpressibleError(f"zero_stage: {row.text('zero_stage')!r} is no ZeRO stage")
    if ranks == 1:
        return "none"
    sharding = _SHARDINGS[stage]
    narrow = 0 < row.integer("fsdp_group", 0) <= row.needed("gpus_per_node") < ranks
    return f"{sharding}_node" if narrow and sharding in {"zero1", "zero3"} else sharding


def _sequence_parallel(row: Row, stack: Stack) -> bool:
    stated = row.flag("sequence_parallel")
    return stack.overlaps if stated is None else stated


def _tensor_overlap(row: Row, stack: Stack) -> bool:
    text = row.text("overlap").lower()
    if "no tp" in text or "vanilla tp" in text:
        return False
    named = "tp ubuf" in text or "async" in text
    return named or (stack.tensor_overlap and not text)


def _overlaps(row: Row, stack: Stack, sharding: str, chunks: int) -> dict[str, bool]:
    text = row.text("overlap").lower()
    blocked = "not overlapped" in text or "no overlap" in text or "blocking=1" in text
    data = not blocked and (stack.overlaps or sharding.startswith("zero3") or "dp grad" in text)
    transfers = "no p2p" not in text and (("p2p overlap" in text) or (stack.overlaps and not text)) and chunks > 1
    return {
        "grad_reduce_overlap": data,
        "param_gather_overlap": data and sharding != "none",
        "p2p_overlap": transfers,
    }


_FULL = {"recompute": "full", "recompute_method": "uniform"}
_BY_PREFIX: tuple[tuple[str, list[str]], ...] = (
    ("selective (per-op", ["layernorm", "mlp"]),
    ("remat save_dot_except_mlp", ["layernorm", "mlp"]),
    ("remat", ["layernorm"]),
)
"""Policies of other frameworks by the modules whose activations they drop."""


def _recompute(text: str) -> dict[str, Any]:
    if text.startswith("full"):
        return _FULL
    for prefix, modules in _BY_PREFIX:
        if text.startswith(prefix):
            return {"recompute": "selective", "recompute_modules": modules}
    if text.startswith("selective:"):
        return {"recompute": "selective", "recompute_modules": _named_modules(text)}
    return {"recompute": "selective", "recompute_modules": ["core_attn"]} if text.startswith("selective") else {}


def _named_modules(text: str) -> list[str]:
    modules = [name for name in ("moe_act", "layernorm", "mlp", "core_attn", "mla_up_proj", "moe") if name in text]
    modules += [module for word, module in _MODULES.items() if word in text and module not in modules]
    return [module for module in modules if not (module == "moe" and "moe_act" in modules)]

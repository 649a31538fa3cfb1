"""From a row of the table to a question the engine can answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from planner.calibration.runs import LONGEST_SECONDS, MOST_BYTES, SHORTEST_SECONDS, PricedRun, Run
from planner.catalog import UnknownNameError, find_gpu
from planner.engine import ExplicitModel, HomogeneousCluster, InvalidRequest, Workload
from planner.validation.rows import InexpressibleError, Row
from planner.validation.stacks import Stack, stack_of
from planner.validation.strategy import strategy_of

if TYPE_CHECKING:
    from collections.abc import Callable

_Built = TypeVar("_Built")
_GPUS: dict[tuple[str, float | None], str] = {
    ("V100", 16): "v100-16gb-sxm",
    ("V100", 32): "v100-32gb-sxm",
    ("A100", 40): "a100-40gb-sxm",
    ("H100", 96): "h100-96gb-sxm",
}
_LADDER: tuple[dict[str, Any], ...] = (
    {"recompute": "selective", "recompute_modules": ["layernorm", "moe_act"]},
    {"recompute": "selective", "recompute_modules": ["layernorm", "mla_up_proj", "moe_act"]},
    {"recompute": "selective", "recompute_modules": ["layernorm", "mlp", "moe_act"]},
    {"recompute": "full", "recompute_method": "uniform"},
)
"""Recomputation by cost, for rows that do not state it."""
_MLA = {"q_lora_rank": 1536, "kv_lora_rank": 512, "rope_head_dim": 64, "value_head_dim": 128}
_PRECISIONS = ("nvfp4", "mxfp8", "fp8", "bf16", "fp16")
_FULL_TASKS = ("pretrain", "sft", "full finetune", "")
_BITS_PER_BYTE = 8
_SLIDING_EVERY = 2
_SEQUENCE_TOLERANCE = 0.02
_MEMORY_TOLERANCE = 0.1
"""Vendors' gigabytes against the driver's gibibytes, and what is kept for error correction."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row and the measured run it describes."""

    row: Row
    run: Run

    @property
    def group(self) -> tuple[str, str, str]:
        """What `--calibrate` fits together: source, GPU type, precision."""
        return self.row.text("source"), self.row.text("gpu_type"), self.run.workload.precision


class PricedCase(PricedRun):
    """A case laid out once. `assumed` says what was assumed where the row is silent."""

    def __init__(self, case: Case) -> None:
        """InexpressibleError when the engine refuses the case's strategy."""
        self.assumed = ""
        try:
            super().__init__(case.run)
            if not case.row.text("recompute"):
                case = self._fitting(case)
        except InvalidRequest as error:
            raise InexpressibleError(f"{error.field}: {error.message}") from error
        self.case = case

    def _fitting(self, case: Case) -> Case:
        """Settle on the least recomputation that fits: a run that ran did fit, whatever its row leaves unsaid."""
        for change in ({}, *_LADDER):
            run = replace(case.run, strategy=case.run.strategy.model_copy(update=change))
            super().__init__(run)
            memory = self.estimate().memory
            if memory.peak <= memory.capacity:
                named = change.get("recompute", "none")
                self.assumed = f"recompute: not stated, taken as {named} {change.get('recompute_modules', '')}".strip()
                return replace(case, run=run)
        super().__init__(case.run)
        self.assumed = "recompute: not stated, and the plan fits under none"
        return case


def case_of(row: Row) -> Case:
    """Return the case of `row`; InexpressibleError when the engine cannot express it."""
    if row.excess:
        raise InexpressibleError("the row has more cells than the header; quote cells that hold the delimiter")
    seconds = _seconds(row)
    if row.text("hetero_json") and "+" in row.text("gpu_type"):
        raise InexpressibleError("hetero_json: an assignment over unlike GPUs is not a strategy of one GPU type")
    if row.text("task") not in _FULL_TASKS:
        raise InexpressibleError(f"task: {row.text('task')!r} trains adapters, the engine prices full training")
    if "mamba" in row.text("model_name").lower():
        raise InexpressibleError("model_name: a hybrid; the engine prices transformers with attention in every layer")
    if not row.text("attn_type") and not row.text("heads"):
        raise InexpressibleError("attn_type, heads: missing, as in models without attention in every layer")
    cluster = _cluster(row)
    fused = row.integer("moe_experts", 0) > 0 and _generation(cluster.gpu) == "blackwell"
    stack = stack_of(row.text("framework"), fused_experts=fused)
    run = Run(
        model=_model(row),
        workload=_workload(row, stack),
        cluster=cluster,
        strategy=_checked("strategy", lambda: strategy_of(row, stack)),
        seconds=seconds,
        peak_bytes=None if _is_two_phase(row) else _peak_bytes(row),
        stack=stack.name,
        age_months=stack.age_months,
    )
    return Case(row, run)


def _seconds(row: Row) -> float:
    seconds = row.number("iter_time_s_best")
    if seconds is None:
        raise InexpressibleError("iter_time_s_best: missing, no iteration time to compare with")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise InexpressibleError(f"iter_time_s_best: {seconds:g} is no time of an iteration in seconds")
    return seconds


def _peak_bytes(row: Row) -> float | None:
    peak = row.number("peak_mem_gb")
    if peak is not None and not 0 < peak * 1e9 <= MOST_BYTES:
        raise InexpressibleError(f"peak_mem_gb: {peak:g} is no peak of a GPU's memory in GB")
    return peak and peak * 1e9


def _generation(gpu: str) -> str:
    try:
        return find_gpu(gpu).generation
    except UnknownNameError as error:
        raise InexpressibleError(f"cluster.gpu: {error}") from error


def warnings_of(row: Row) -> list[str]:
    """Return the contradictions of a row that do not stop it from being used."""
    seconds, rate = row.number("iter_time_s_best"), row.number("tokens_per_s_per_gpu")
    gpu, memory = find_gpu(_gpu(row)), row.number("gpu_mem_gb")
    warnings = []
    if not row.text("attn_type"):
        warnings.append("attn_type: not stated, taken as attention over heads and kv_heads in every layer")
    if memory and abs(memory / gpu.memory_gib - 1) > _MEMORY_TOLERANCE:
        warnings.append(f"gpu_mem_gb: {memory:g} of {row.text('gpu_type')} is in no catalogue, taken as {gpu.name}")
    if _is_two_phase(row) and row.text("peak_mem_gb"):
        warnings.append("schedule: ZB-2p holds twice what ZB-H1, priced in its place, does; its peak is not compared")
    if seconds and rate and row.text("global_batch") and row.text("seq_len"):
        implied = row.needed("global_batch") * row.needed("seq_len") / rate / row.needed("num_gpus")
        if abs(implied / seconds - 1) > _SEQUENCE_TOLERANCE:
            warnings.append(f"tokens_per_s_per_gpu implies {implied:.4g} s, iter_time_s_best says {seconds:.4g} s")
    steps = row.integer("grad_accum", 0)
    if steps and steps * row.needed("micro_batch") * row.needed("num_gpus") != row.needed("global_batch") * _shards(
        row
    ):
        warnings.append(f"grad_accum: {steps} x micro_batch x dp is not global_batch, which is taken")
    return warnings


def _shards(row: Row) -> int:
    """Return the GPUs that hold one replica of the model."""
    return row.needed("tp") * row.needed("pp") * row.degree("cp")


def _is_two_phase(row: Row) -> bool:
    return row.text("schedule").lower().startswith("zb-2p")


def _checked(what: str, build: Callable[[], _Built]) -> _Built:
    try:
        return build()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or what
        raise InexpressibleError(f"{field}: {first['msg']}, got {str(first['input'])[:40]}") from error


def _model(row: Row) -> ExplicitModel:
    layers, experts = row.needed("layers"), row.integer("moe_experts", 0)
    heads, hidden = row.needed("heads"), row.needed("hidden")
    window = row.integer("attn_window", 0)
    dense = row.integer("dense_layers", 0) if experts else 0
    dimensions: dict[str, Any] = {
        "name": row.text("model_name") or "custom",
        "layers": layers,
        "hidden_size": hidden,
        "heads": heads,
        "kv_heads": row.integer("kv_heads", 0) or heads,
        "head_dim": row.integer("head_dim", 0) or max(hidden // heads, 1),
        "ffn_size": row.integer("ffn_hidden", 0) or row.integer("moe_ffn_hidden", 0) or 4 * hidden,
        "vocab_size": row.needed("vocab"),
        "gated_mlp": row.flag("gated_ffn") is True,
        "tied_embeddings": row.flag("tied_emb") is True,
        "sliding_window": window,
        "sliding_layers": layers // _SLIDING_EVERY if window else 0,
        "mtp_layers": row.integer("mtp", 0),
        **(_MLA if row.text("attn_type") == "MLA" else {}),
        **(_experts(row, layers, dense) if experts else {}),
    }
    return _checked("model", lambda: ExplicitModel(**dimensions))


def _experts(row: Row, layers: int, dense: int) -> dict[str, int]:
    """Experts in every other layer (Llama-4) are told by half of the layers being dense."""
    alternating = dense * _SLIDING_EVERY == layers
    return {
        "experts": row.needed("moe_experts"),
        "experts_per_token": row.needed("moe_topk"),
        "expert_ffn_size": row.needed("moe_ffn_hidden"),
        "shared_ffn_size": row.integer("moe_shared_ffn", 0),
        "dense_layers": 0 if alternating else dense,
        "moe_period": _SLIDING_EVERY if alternating else 1,
    }


def _workload(row: Row, stack: Stack) -> Workload:
    """Loss scaling lets fp16 training keep its gradients in 16 bits; bf16 training accumulates where its stack does."""
    text = row.text("precision").lower()
    precision = next((name for name in _PRECISIONS if name in text), None)
    if precision is None:
        raise InexpressibleError(f"precision: {text!r} is none of {', '.join(_PRECISIONS)}")
    if row.text("gpu_type") == "V100":
        precision = "fp16"
    half = "PURE" in row.text("precision") or precision == "fp16"
    body = {
        "global_batch_size": row.needed("global_batch"),
        "sequence_length": row.needed("seq_len"),
        "precision": precision,
        "gradient_precision": "bf16" if half else stack.gradient_precision,
    }
    return _checked("workload", lambda: Workload(**body))


def _cluster(row: Row) -> HomogeneousCluster:
    """The links a row states override those of the GPU's reference system."""
    node = row.needed("gpus_per_node")
    links: dict[str, float] = {
        "gpus_per_node": node,
        "domain": 72 if "NVL72" in row.text("intra_link") else node,
    }
    rate = network_gbps(row.text("inter_link"), node)
    if rate:
        links["scale_out_gbps"] = rate
    return _checked("cluster", lambda: HomogeneousCluster(gpu=_gpu(row), count=row.needed("num_gpus"), links=links))


def _gpu(row: Row) -> str:
    kind = row.text("gpu_type")
    return _GPUS.get((kind, row.number("gpu_mem_gb")), kind.lower())


def network_gbps(text: str, gpus_per_node: int) -> float | None:
    """Return 1e9 bytes per second per GPU that the text of `inter_link` states, None when it states none."""
    per_gpu = re.search(r"(\d+) ?Gb/s(?: RDMA| NDR)? per GPU|Slingshot-11 (\d+)Gb/s per GPU", text)
    if per_gpu:
        return float(per_gpu[1] or per_gpu[2]) / _BITS_PER_BYTE
    ports = re.search(r"(\d+)x ?(?:IB HDR )?(\d+) ?Gb/s", text)
    if ports:
        return float(ports[1]) * float(ports[2]) / _BITS_PER_BYTE / gpus_per_node
    if "Omni-Path links per node" in text:
        return 4 * 100 / _BITS_PER_BYTE / gpus_per_node
    whole = re.search(r"(\d+) ?Gb(?:/s|ps)[^(]*(?:per node|node-to-node)", text)
    return float(whole[1]) / _BITS_PER_BYTE / gpus_per_node if whole else None

"""Megatron-LM command-line arguments, under the names of its megatron/training/arguments.py.

Checked against commit 000c4ac2. Arguments give the model's dimensions and the plan; activation functions, router scores
and losses are the model's own recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.export.context import CannotExpressError, Export, PlanContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine.inputs import Strategy
    from planner.engine.model import Architecture

_CONSUMER = "Megatron-LM"
_NORMS_PER_LAYER = 2
_SHARDING = {
    "zero2": "optim_grads",
    "zero3": "optim_grads_params",
    "zero3_node": "optim_grads_params",
}


def megatron(context: PlanContext) -> Export:
    """Return a shell fragment that defines MEGATRON_ARGS; CannotExpressError names the dimension that does not fit."""
    if context.architecture.norms_per_layer != _NORMS_PER_LAYER:
        norms = context.architecture.norms_per_layer
        reason = "its layers have two norms; Megatron-Bridge has the model's own"
        raise CannotExpressError(_CONSUMER, "norms_per_layer", norms, reason)
    arguments = [
        *_model(context),
        *_parallel(context),
        *_pipeline(context),
        *_memory(context.strategy),
        *_overlap(context),
    ]
    lines = "\n".join(f"    {argument}" for argument in arguments)
    comments = "\n".join(f"# {line}" for line in _comments(context))
    return Export("megatron.sh", "text/x-shellscript", f"{comments}\nMEGATRON_ARGS=(\n{lines}\n)\n")


def _comments(context: PlanContext) -> Iterator[str]:
    candidate = context.candidate
    estimate = candidate.estimate
    where = f"{context.architecture.name} on {candidate.gpus} x {candidate.gpu}"
    yield f"{where}: {estimate.iteration_seconds:.3f} s a step expected"
    first = 0
    for run in candidate.assignment or []:
        ranks = candidate.gpus // context.strategy.pipeline_parallel * run.stages
        yield f"ranks {first} to {first + ranks - 1}: {run.gpu}"
        first += ranks


def _model(context: PlanContext) -> Iterator[str]:
    arch, work = context.architecture, context.workload
    yield f"--num-layers {arch.layers}"
    yield f"--hidden-size {arch.hidden_size}"
    yield f"--ffn-hidden-size {arch.ffn_size}"
    yield f"--num-attention-heads {arch.heads}"
    yield f"--kv-channels {arch.head_dim}"
    if arch.kv_heads != arch.heads:
        yield f"--group-query-attention --num-query-groups {arch.kv_heads}"
    yield f"--seq-length {work.sequence_length}"
    yield f"--max-position-embeddings {max(work.sequence_length, arch.learned_positions)}"
    yield f"--vocab-size {arch.vocab_size}"
    yield f"--position-embedding-type {'learned_absolute' if arch.learned_positions else 'rope'}"
    yield f"--normalization {'LayerNorm' if arch.norm_bias else 'RMSNorm'}"
    yield from _switches(
        (arch.gated_mlp, "--swiglu"),
        (not arch.tied_embeddings, "--untie-embeddings-and-output-weights"),
        (not arch.mlp_bias, "--disable-bias-linear"),
        (arch.qkv_bias and not arch.mlp_bias, "--add-qkv-bias"),
        (arch.qk_norm, "--qk-layernorm"),
    )
    yield from _window(context.architecture)
    yield from _latent(context)
    yield from _experts(context)


def _switches(*pairs: tuple[bool, str]) -> Iterator[str]:
    return (flag for wanted, flag in pairs if wanted)


def _window(arch: Architecture) -> Iterator[str]:
    """Sliding windows: of every layer, or of all but every n-th."""
    if arch.attention_sinks:
        yield "--softmax-type learnable"
    if not arch.sliding_layers:
        return
    yield f'--window-size "({arch.sliding_window},0)"'
    full = arch.layers - arch.sliding_layers
    if full:
        yield f"--window-attn-skip-freq {round(arch.layers / full)}"


def _latent(context: PlanContext) -> Iterator[str]:
    arch = context.architecture
    if not arch.is_latent_attention:
        return
    yield "--multi-latent-attention"
    yield f"--kv-lora-rank {arch.kv_lora_rank}"
    if arch.q_lora_rank:
        yield f"--q-lora-rank {arch.q_lora_rank}"
    yield f"--qk-head-dim {arch.head_dim}"
    yield f"--qk-pos-emb-head-dim {arch.rope_head_dim}"
    yield f"--v-head-dim {arch.value_head_dim}"


def _experts(context: PlanContext) -> Iterator[str]:
    arch = context.architecture
    if arch.mtp_layers:
        yield f"--mtp-num-layers {arch.mtp_layers}"
    if not arch.is_moe:
        return
    yield f"--num-experts {arch.experts}"
    yield f"--moe-router-topk {arch.experts_per_token}"
    yield f"--moe-ffn-hidden-size {arch.expert_ffn_size}"
    yield "--moe-grouped-gemm --moe-token-dispatcher-type alltoall"
    if arch.shared_ffn_size:
        yield f"--moe-shared-expert-intermediate-size {arch.shared_ffn_size}"
    if arch.dense_layers:
        yield f'--moe-layer-freq "([0]*{arch.dense_layers}+[1]*{arch.layers - arch.dense_layers})"'
    elif arch.moe_period > 1:
        yield f"--moe-layer-freq {arch.moe_period}"


def _parallel(context: PlanContext) -> Iterator[str]:
    strategy, work = context.strategy, context.workload
    yield f"--tensor-model-parallel-size {strategy.tensor_parallel}"
    yield f"--pipeline-model-parallel-size {strategy.pipeline_parallel}"
    yield f"--context-parallel-size {strategy.context_parallel}"
    if strategy.context_parallel > 1:
        yield f"--cp-comm-type {strategy.context_comm}"
    if context.architecture.is_moe:
        yield f"--expert-model-parallel-size {strategy.expert_parallel}"
        yield f"--expert-tensor-parallel-size {strategy.expert_tensor_parallel}"
    yield f"--micro-batch-size {strategy.micro_batch_size}"
    yield f"--global-batch-size {work.global_batch_size}"
    yield "--fp16" if work.precision == "fp16" else "--bf16"
    yield from _low_precision(work.precision)
    yield "--accumulate-allreduce-grads-in-fp32" if work.gradient_precision == "fp32" else "--grad-reduce-in-bf16"
    yield f"--attention-backend {'flash' if strategy.attention != 'unfused' else 'unfused'}"
    if strategy.sequence_parallel:
        yield "--sequence-parallel"


def _low_precision(precision: str) -> Iterator[str]:
    if precision == "fp8":
        yield "--fp8-format hybrid --fp8-recipe tensorwise"
    elif precision == "mxfp8":
        yield "--fp8-format e4m3 --fp8-recipe mxfp8"
    elif precision == "nvfp4":
        yield "--fp4-format e2m1 --fp4-recipe nvfp4"


def _pipeline(context: PlanContext) -> Iterator[str]:
    strategy = context.strategy
    if strategy.schedule == "zero_bubble":
        raise CannotExpressError(_CONSUMER, "schedule", "zero_bubble", "it has 1F1B and interleaved 1F1B only")
    if strategy.pipeline_parallel == 1:
        return
    if context.candidate.assignment is not None or strategy.pipeline_split == "layout":
        yield f'--pipeline-model-parallel-layout "{layout_of(context)}"'
        return
    yield from _switches(
        (strategy.pipeline_split in {"embedding", "embedding_and_loss"}, "--account-for-embedding-in-pipeline-split"),
        (strategy.pipeline_split in {"loss", "embedding_and_loss"}, "--account-for-loss-in-pipeline-split"),
    )
    if strategy.virtual_pipeline > 1:
        yield f"--num-virtual-stages-per-pipeline-rank {strategy.virtual_pipeline}"


def layout_of(context: PlanContext) -> str:
    """Return every chunk in the order tokens pass them: E embedding, t decoder, m prediction layer, L loss."""
    rows = context.stage_chunks()
    parts = ["t" * rows[stage][chunk] for chunk in range(len(rows[0])) for stage in range(len(rows))]
    parts[0] = "E" + parts[0]
    parts[-1] += "m" * context.architecture.mtp_layers + "L"
    return "|".join(parts)


def _memory(strategy: Strategy) -> Iterator[str]:
    if strategy.recompute == "selective":
        yield f"--recompute-granularity selective --recompute-modules {' '.join(strategy.recompute_modules)}"
    if strategy.recompute == "full":
        layers = strategy.recompute_layers or 1
        yield f"--recompute-granularity full --recompute-method {strategy.recompute_method}"
        yield f"--recompute-num-layers {layers}"
    if strategy.activation_offload:
        reason = "its arguments have no switch for it; Megatron-Bridge's model.cpu_offloading does"
        raise CannotExpressError(_CONSUMER, "activation_offload", value=True, reason=reason)
    if strategy.optimizer_offload:
        yield f"--optimizer-cpu-offload --optimizer-offload-fraction {strategy.optimizer_offload:g}"
        yield "--use-precision-aware-optimizer --overlap-cpu-optimizer-d2h-h2d"


def _overlap(context: PlanContext) -> Iterator[str]:
    strategy = context.strategy
    if strategy.sharding in _SHARDING:
        yield f"--use-megatron-fsdp --data-parallel-sharding-strategy {_SHARDING[strategy.sharding]}"
        yield "--ckpt-format fsdp_dtensor"
    if strategy.sharding != "none":
        yield "--use-distributed-optimizer"
    if strategy.sharding.endswith("_node"):
        yield f"--num-distributed-optimizer-instances {_instances(context)}"
    yield from _switches(
        (strategy.grad_reduce_overlap, "--overlap-grad-reduce"),
        (strategy.param_gather_overlap, "--overlap-param-gather"),
        (strategy.tp_overlap, "--tp-comm-overlap"),
        (strategy.virtual_pipeline > 1 and not strategy.p2p_overlap, "--no-overlap-p2p-communication"),
    )


def _instances(context: PlanContext) -> int:
    strategy = context.strategy
    ranks = (strategy.data_parallel or 1) * strategy.context_parallel
    return max(ranks // max(context.gpus_per_node // strategy.tensor_parallel, 1), 1)

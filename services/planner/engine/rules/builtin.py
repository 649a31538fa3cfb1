"""Validity rules of Megatron-Core and its relatives, in the rule language itself.

The facts are those of Megatron-LM's arguments.py and transformer_config.py (commit d98e8a64), PyTorch FSDP2 and
DeepSpeed ZeRO.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from planner.engine.rules.language import Expression, parse_rule


@dataclass(frozen=True)
class Rule:
    """A named condition every strategy must satisfy, with the reason a person would give."""

    id: str
    expression: str
    reason: str

    @cached_property
    def compiled(self) -> Expression:
        """The expression, ready to evaluate."""
        return parse_rule(self.expression)


BUILTIN_RULES: tuple[Rule, ...] = (
    Rule("world", "data_parallel > 0", "tensor x context x pipeline degrees must divide the GPUs"),
    Rule("batch", "micro_batches > 0", "data parallel x micro-batch must divide the global batch"),
    Rule("heads", "heads % tensor_parallel == 0", "tensor parallel must divide the attention heads"),
    Rule(
        "kv_heads",
        "kv_heads % tensor_parallel == 0 or tensor_parallel % kv_heads == 0",
        "tensor parallel and key-value heads must divide one another",
    ),
    Rule("ffn", "ffn_size % tensor_parallel == 0", "tensor parallel must divide the MLP width"),
    Rule("hidden", "hidden_size % tensor_parallel == 0", "tensor parallel must divide the hidden size"),
    Rule(
        "context",
        "context_parallel == 1 or sequence_length % (2 * context_parallel) == 0",
        "twice the context parallel degree must divide the sequence (load-balanced causal chunks)",
    ),
    Rule(
        "context_comm",
        "context_comm == 'p2p' or context_parallel > 1",
        "without context parallel there is no exchange to choose",
    ),
    Rule(
        "context_heads",
        "context_comm == 'p2p' or kv_heads % (tensor_parallel * context_parallel) == 0",
        "all-to-all context exchange splits the key-value heads",
    ),
    Rule("context_attention", "context_parallel == 1 or flash_attention", "context parallelism needs fused attention"),
    Rule(
        "experts", "expert_parallel == 1 or experts % expert_parallel == 0", "expert parallel must divide the experts"
    ),
    Rule(
        "expert_grid",
        "(tensor_parallel * context_parallel * data_parallel) % (expert_parallel * expert_tensor_parallel) == 0",
        "expert x expert-tensor degrees must divide the ranks of one pipeline stage",
    ),
    Rule(
        "expert_tensor",
        "expert_tensor_parallel == 1 or expert_ffn_size % expert_tensor_parallel == 0",
        "expert tensor parallel must divide the expert width",
    ),
    Rule(
        "expert_tensor_order",
        "expert_tensor_parallel <= tensor_parallel",
        "experts split over more tensor ranks than attention only add traffic",
    ),
    Rule(
        "interleave_batches",
        "virtual_pipeline == 1 or micro_batches % pipeline_parallel == 0",
        "interleaving needs micro-batches in multiples of the pipeline stages",
    ),
    Rule(
        "zero_bubble_batches",
        "schedule != 'zero_bubble' or micro_batches >= pipeline_parallel",
        "zero-bubble schedules need a micro-batch for every stage",
    ),
    Rule(
        "tp_overlap_sequence", "not tp_overlap or sequence_parallel", "tensor-parallel overlap needs sequence parallel"
    ),
    Rule(
        "offload_recompute",
        "not activation_offload or recompute == 'none'",
        "activation offload excludes recomputation",
    ),
    Rule(
        "offload_pipeline",
        "not activation_offload or pipeline_parallel == 1",
        "activation offload excludes pipeline parallelism",
    ),
    Rule(
        "gather_overlap_reduce",
        "not param_gather_overlap or grad_reduce_overlap",
        "overlapping the weight gather needs the gradient reduction overlapped too",
    ),
    Rule(
        "gather_overlap_sharding",
        "not param_gather_overlap or zero_stage >= 1",
        "without sharding there is no weight gather",
    ),
    Rule(
        "optimizer_offload_sharding",
        "optimizer_offload == 0 or zero_stage >= 1",
        "optimizer offload needs a sharded optimizer",
    ),
    Rule(
        "sharding_pipeline",
        "zero_stage < 2 or pipeline_parallel == 1",
        "sharding gradients or weights excludes pipeline parallelism",
    ),
    Rule(
        "sharding_ranks",
        "zero_stage == 0 or data_parallel * context_parallel > 1",
        "sharding needs more than one data-parallel rank",
    ),
    Rule(
        "node_sharding",
        "not node_sharding or (gpus_per_node % (tensor_parallel * context_parallel) == 0"
        " and tensor_parallel * context_parallel < gpus_per_node"
        " and tensor_parallel * context_parallel * data_parallel > gpus_per_node)",
        "sharding within a node needs several data-parallel ranks in a node and replicas across nodes",
    ),
    Rule(
        "reduce_overlap_ranks",
        "not grad_reduce_overlap or data_parallel * context_parallel > 1",
        "with one data-parallel rank there is nothing to reduce",
    ),
    Rule("sequence_tensor", "not sequence_parallel or tensor_parallel > 1", "sequence parallel needs tensor parallel"),
    Rule(
        "sequence_length",
        "not sequence_parallel or sequence_length % (tensor_parallel * context_parallel) == 0",
        "tensor x context degrees must divide the sequence under sequence parallel",
    ),
    Rule(
        "expert_sequence",
        "sequence_parallel or tensor_parallel == 1 or experts == 0",
        "experts with tensor parallelism need sequence parallel",
    ),
    Rule(
        "p2p_overlap_interleave",
        "not p2p_overlap or virtual_pipeline > 1",
        "pipeline transfers overlap only when interleaved",
    ),
    Rule(
        "interleave_depth",
        "virtual_pipeline == 1 or pipeline_parallel > 2 or p2p_overlap",
        "interleaving over two stages needs overlapped pipeline transfers",
    ),
    Rule(
        "block_recompute",
        "recompute_method != 'block' or layers_per_chunk >= 4",
        "recomputing a quarter of a chunk needs four layers in it",
    ),
)

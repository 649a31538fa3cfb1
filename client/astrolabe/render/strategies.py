"""A strategy in the field's shorthand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astrolabe.plans import Strategy

_DEGREES = (
    ("VP", "virtual_pipeline"),
    ("CP", "context_parallel"),
    ("EP", "expert_parallel"),
    ("ETP", "expert_tensor_parallel"),
)
_SHARDINGS = {
    "zero1": "ZeRO-1",
    "zero1_node": "ZeRO-1/node",
    "zero2": "ZeRO-2",
    "zero3": "ZeRO-3",
    "zero3_node": "ZeRO-3/node",
}


def shorthand(strategy: Strategy) -> str:
    """Such as ``TP4 PP2 DP8 mbs2 SP recompute=selective ZeRO-1``; what is off, or as usual, is left out."""
    return " ".join((*_parts(strategy), *_particulars(strategy)))


def _parts(strategy: Strategy) -> Iterator[str]:
    yield f"TP{strategy.tensor_parallel}"
    yield f"PP{strategy.pipeline_parallel}"
    yield f"DP{strategy.data_parallel}" if strategy.data_parallel else "DP?"
    for name, field in _DEGREES:
        if (degree := getattr(strategy, field) or 1) > 1:
            yield f"{name}{degree}"
    yield f"mbs{strategy.micro_batch_size}"
    if strategy.sequence_parallel:
        yield "SP"
    if strategy.schedule == "zero_bubble":
        yield "zero-bubble"
    if strategy.recompute != "none":
        yield f"recompute={_recompute(strategy)}"
    if strategy.sharding != "none":
        yield _SHARDINGS.get(strategy.sharding, strategy.sharding)
    if offloaded := _offloaded(strategy):
        yield f"offload={offloaded}"


def _particulars(strategy: Strategy) -> Iterator[str]:
    """What is unlike the usual, so that two strategies never read the same."""
    if strategy.pipeline_split not in {None, "even"}:
        yield f"split={strategy.pipeline_split}"
    if strategy.context_comm not in {None, "p2p"}:
        yield f"cp={strategy.context_comm}"
    if strategy.attention not in {None, "flash"}:
        yield f"attention={strategy.attention}"
    if strategy.tp_overlap:
        yield "tp-overlap"
    if strategy.p2p_overlap:
        yield "p2p-overlap"
    if not strategy.grad_reduce_overlap:
        yield "no-grad-overlap"
    if not strategy.param_gather_overlap:
        yield "no-param-overlap"


def _recompute(strategy: Strategy) -> str:
    if strategy.recompute == "selective" and strategy.recompute_modules not in {(), ("core_attn",)}:
        return f"selective({','.join(strategy.recompute_modules)})"
    if strategy.recompute == "full" and strategy.recompute_layers:
        return f"full({strategy.recompute_layers} layers)"
    return strategy.recompute


def _offloaded(strategy: Strategy) -> str:
    optimizer = "optimizer" if strategy.optimizer_offload == 1 else f"optimizer({strategy.optimizer_offload:.0%})"
    chosen = {"activations": strategy.activation_offload, optimizer: strategy.optimizer_offload}
    return ",".join(name for name, on in chosen.items() if on)

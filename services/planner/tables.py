"""Plans and estimates as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from planner.catalog import GIB

if TYPE_CHECKING:
    from rich.console import RenderableType

    from planner.engine.inputs import Strategy
    from planner.engine.outputs import Candidate, Estimate, Insight, PlanResult, Term


def plan_tables(plan: PlanResult) -> list[RenderableType]:
    """Return the candidates, how they were found, and the reasons when there are none."""
    found = plan.search
    summary = (
        f"{found.enumerated:,} strategies, {found.after_rules:,} valid, {found.after_memory:,} fit in memory, "
        f"{found.evaluated:,} priced one by one; {found.optimality} in {found.seconds:.3f} s"
    )
    reasons = [
        f"{reason.rule}: {reason.message}" + (f"; {reason.remedy}" if reason.remedy else "") for reason in plan.reasons
    ]
    tables: list[RenderableType] = [_candidates(plan.candidates, plan.model)] if plan.candidates else []
    if plan.frontier:
        tables.append(_candidates(plan.frontier, f"{plan.model}: throughput against money"))
    if plan.insight is not None:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in plan.insight.shares.items())
        tables += [_insight(plan.insight), f"the best plan's time: {shares}"]
    return [*tables, summary, *reasons]


def _candidates(candidates: list[Candidate], title: str) -> Table:
    clusters = [f"{candidate.gpus} {candidate.gpu}" for candidate in candidates]
    alike = len(set(clusters)) == 1
    table = Table(title=f"{title} on {clusters[0]}" if alike else title)
    for name in ("plan", "state") if alike else ("GPUs", "plan", "state"):
        table.add_column(name)
    for name in ("s/iter", "tok/s/GPU", "MFU", "GiB", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for candidate, cluster in zip(candidates, clusters, strict=True):
        priced = candidate.estimate
        table.add_row(
            *(() if alike else (cluster,)),
            placement(candidate.strategy),
            f"{candidate.strategy.sharding} {recomputation(candidate.strategy)}",
            f"{priced.iteration_seconds:.3f}",
            f"{priced.tokens_per_second_per_gpu:,.0f}",
            f"{priced.model_flops_utilization:.1%}",
            f"{priced.memory.peak / GIB:.1f}",
            f"{candidate.cost.usd:,.0f}" if candidate.cost else "",
        )
    return table


def placement(strategy: Strategy) -> str:
    """Return the degrees that are not 1, as `tp4+sp pp8x2 dp16 mb1`."""
    tensor = f"tp{strategy.tensor_parallel}" + ("+sp" if strategy.sequence_parallel else "")
    pipeline = f"pp{strategy.pipeline_parallel}" + (
        f"x{strategy.virtual_pipeline}" if strategy.virtual_pipeline > 1 else ""
    )
    degrees = (
        (strategy.tensor_parallel, tensor),
        (strategy.context_parallel, f"cp{strategy.context_parallel}"),
        (strategy.pipeline_parallel, pipeline),
        (strategy.expert_parallel, f"ep{strategy.expert_parallel}"),
        (strategy.expert_tensor_parallel, f"etp{strategy.expert_tensor_parallel}"),
    )
    named = [name for degree, name in degrees if degree > 1]
    zero_bubble = ["zb"] if strategy.schedule == "zero_bubble" else []
    return " ".join([*named, *zero_bubble, f"dp{strategy.data_parallel}", f"mb{strategy.micro_batch_size}"])


def recomputation(strategy: Strategy) -> str:
    """Return what is recomputed or offloaded, briefly."""
    named = {"none": "keep", "selective": "redo " + "+".join(strategy.recompute_modules), "full": "redo all"}
    text = named[strategy.recompute]
    if strategy.recompute_method == "block":
        text = f"redo {strategy.recompute_layers} a chunk"
    text += " offload-act" if strategy.activation_offload else ""
    return text + (f" offload-opt {strategy.optimizer_offload:.0%}" if strategy.optimizer_offload else "")


def estimate_tables(priced: Estimate, *, explain: bool) -> list[RenderableType]:
    """Return the headline, the breakdown, the memory of every stage and the reasons against the strategy."""
    headline = (
        f"{priced.iteration_seconds:.3f} s an iteration, {priced.tokens_per_second_per_gpu:,.0f} tokens/s/GPU, "
        f"MFU {priced.model_flops_utilization:.1%}, {'feasible' if priced.feasible else 'infeasible'}"
    )
    breakdown = Table(title="seconds")
    parts = priced.breakdown.model_dump()
    for name in parts:
        breakdown.add_column(name, justify="right")
    breakdown.add_row(*(f"{seconds:.4f}" for seconds in parts.values()))
    reasons = [
        f"{reason.rule}: {reason.message}" + (f"; {reason.remedy}" if reason.remedy else "")
        for reason in priced.reasons
    ]
    return [headline, breakdown, _memory(priced, every_stage=explain), *reasons]


def term_table(terms: list[Term]) -> Table:
    """Return the terms of an estimate, grouped."""
    table = Table(title="terms")
    for name in ("group", "term"):
        table.add_column(name)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning")
    for term in terms:
        table.add_row(term.group, term.name, f"{term.value:.6g} {term.unit}", term.meaning)
    return table


def _insight(told: Insight) -> Table:
    table = Table(title="what would change the best plan's time")
    table.add_column("change")
    for name in ("GPUs", "s/iter", "speedup"):
        table.add_column(name, justify="right")
    for one in told.sensitivities:
        table.add_row(one.change, str(one.gpus), f"{one.iteration_seconds:.3f}", f"{one.speedup:.3f}")
    return table


def _memory(priced: Estimate, *, every_stage: bool) -> Table:
    table = Table(title=f"GiB of {priced.memory.capacity / GIB:.1f}")
    names = ("weights", "gradients", "optimizer", "activations", "buffers", "peak")
    for name in ("stage", "layers", *names):
        table.add_column(name, justify="right")
    fullest = max(priced.memory.stages, key=lambda stage: stage.peak)
    for stage in priced.memory.stages if every_stage else [fullest]:
        values = (f"{getattr(stage, name) / GIB:.2f}" for name in names)
        table.add_row(str(stage.stage), str(stage.layers), *values)
    return table

"""A finished search: the best strategies, and how it came to them; and estimates of given strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from astrolabe.render import units
from astrolabe.render.console import line, styled, table
from astrolabe.render.strategies import shorthand

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from astrolabe.plans import Candidate, Estimate, Plan, Reason, SearchSummary

_LONGEST_RATE = len("123,456")
_LONGEST_TERM = len("recompute=selective")
_RULES_SHOWN = 8
_MEASURES = ("Iteration", "Tokens/s/GPU", "MFU", "Peak GiB")


def print_plan(console: Console, plan: Plan) -> None:
    """The table of the best plans, or why there is none, and the summary of the search."""
    if plan.candidates:
        _print_candidates(console, plan.candidates)
    else:
        console.print(styled(("No strategy is feasible.", "bold red")))
    for reason in plan.reasons:
        console.print(Text(f"- {_reason(reason)}"))
    if plan.search:
        _print_summary(console, plan.search, cached=plan.from_cache)


def _print_candidates(console: Console, candidates: Sequence[Candidate]) -> None:
    priced = any(candidate.cost for candidate in candidates)
    grid = table(console)
    grid.add_column("#", justify="right")
    grid.add_column("Strategy", overflow="fold", min_width=_LONGEST_TERM)
    for name in (*_MEASURES, *(("Hours", "Money") if priced else ())):
        grid.add_column(name, justify="right", min_width=min(len(name), _LONGEST_RATE))
    for rank, candidate in enumerate(candidates, start=1):
        cells = [str(rank), shorthand(candidate.strategy), *_measures(candidate.estimate)]
        if priced:
            cells += [units.rate(cost.hours), units.money(cost.usd)] if (cost := candidate.cost) else ["-", "-"]
        grid.add_row(*cells, style="bold" if rank == 1 else "")
    console.print(grid)


def _measures(estimate: Estimate) -> list[str]:
    return [
        units.seconds(estimate.iteration_seconds),
        units.rate(estimate.tokens_per_second_per_gpu),
        units.percent(estimate.model_flops_utilization),
        _peak(estimate),
    ]


def _peak(estimate: Estimate) -> str:
    memory = estimate.memory
    return f"{units.gib(memory.peak)} of {units.gib(memory.capacity)}" if memory else "-"


def _reason(reason: Reason) -> str:
    return line(reason.message) + (f"; remedy: {line(reason.remedy)}" if reason.remedy else "")


def _print_summary(console: Console, search: SearchSummary, *, cached: bool) -> None:
    source = "answered from the cache" if cached else f"searched in {units.seconds(search.seconds)}"
    optimality = f", {search.optimality}" if search.optimality else ""
    dropped = search.enumerated - search.after_rules
    over_memory = search.after_rules - search.after_memory
    excluded = search.after_memory - search.evaluated
    bounded = f" (a bound excludes the other {excluded:,})" if excluded > 0 else ""
    console.print(
        styled(
            f"{search.enumerated:,} strategies: {dropped:,} dropped by rules, {over_memory:,} over memory, ",
            f"{search.evaluated:,} priced{bounded}; {source}{optimality}.",
        )
    )
    if by_rule := {name: count for name, count in search.dropped.items() if count}:
        console.print(Text(f"Dropped by rule: {_counts(by_rule)}", style="dim"))


def _counts(by_rule: Mapping[str, int]) -> str:
    ranked = sorted(by_rule.items(), key=lambda item: (-item[1], item[0]))
    first, others = ranked[:_RULES_SHOWN], ranked[_RULES_SHOWN:]
    parts = [f"{line(name)} {count:,}" for name, count in first]
    if others:
        parts.append(f"{len(others)} other rules {sum(count for _, count in others):,}")
    return ", ".join(parts)


def print_estimates(console: Console, estimates: Sequence[Estimate]) -> None:
    """One row for each strategy, then where the time of each iteration goes, and what does not fit."""
    grid = table(console)
    grid.add_column("#", justify="right")
    for name in (*_MEASURES, "Feasible"):
        grid.add_column(name, justify="right", no_wrap=True)
    for rank, estimate in enumerate(estimates, start=1):
        grid.add_row(str(rank), *_measures(estimate), "yes" if estimate.feasible else "no")
    console.print(grid)
    for rank, estimate in enumerate(estimates, start=1):
        spent = {name: value for name, value in estimate.breakdown.items() if value}
        if spent:
            parts = ", ".join(f"{line(name)} {units.seconds(value)}" for name, value in spent.items())
            console.print(Text(f"{rank}: {parts}", style="dim"))
        for reason in estimate.reasons:
            console.print(Text(f"{rank}: {_reason(reason)}", style="red"))

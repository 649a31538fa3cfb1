"""Answers from what the searches of each mode found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from planner.catalog import digest
from planner.engine.explain import search_reasons
from planner.engine.model import count_parameters
from planner.engine.money import money_of
from planner.engine.outputs import Candidate, Insight, PlanResult, Reason, SearchSummary
from planner.engine.pricing import estimate_strategy
from planner.engine.space.codec import decode
from planner.engine.version import ENGINE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.engine.homogeneous import Found
    from planner.engine.model import Architecture
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options


def best_candidates(found: Sequence[Found], tokens: float | None, limit: int) -> list[Candidate]:
    """Return the best `limit` points of several searches."""
    ranked = sorted(
        (float(seconds), variant, row)
        for variant, part in enumerate(found)
        for row, seconds in enumerate(part.best.seconds)
    )
    return [_of_found(found[variant], row, tokens) for _, variant, row in ranked[:limit]]


def _of_found(found: Found, row: int, tokens: float | None) -> Candidate:
    best = found.best
    point = (int(best.layout[row]), int(best.work[row]), int(best.state[row]))
    return candidate(found.problem, found.layouts, found.options, point, tokens)


def candidate(
    problem: Problem,
    layouts: Layouts,
    options: Options,
    point: tuple[int, int, int],
    tokens: float | None,
    prices: Mapping[str, float] | None = None,
) -> Candidate:
    """Return the strategy at (layout, work, state) of a homogeneous space, priced in full."""
    strategy = decode(layouts, options, *point, flash=problem.flash_attention)
    priced = estimate_strategy(problem, strategy, tokens)
    name = problem.device.name
    return Candidate(
        gpu=name,
        gpus=problem.gpus,
        strategy=strategy,
        estimate=priced,
        cost=money_of({name: problem.gpus}, priced.hours, prices),
    )


def merged_drops(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of several counts by rule."""
    dropped: dict[str, int] = {}
    for part in parts:
        for rule, count in part.items():
            dropped[rule] = dropped.get(rule, 0) + count
    return dropped


def homogeneous_result(
    architecture: Architecture,
    candidates: list[Candidate],
    found: Sequence[Found],
    seconds: float,
    insight: Insight | None,
) -> PlanResult:
    """Return the answer of searches over one GPU type."""
    dropped = merged_drops([part.dropped for part in found])
    after_rules, after_memory = (sum(getattr(part, name) for part in found) for name in ("after_rules", "after_memory"))
    overs = [part.least_over for part in found if part.least_over is not None]
    return result(
        "homogeneous",
        architecture,
        candidates=candidates,
        insight=insight,
        reasons=search_reasons(dropped, after_rules, after_memory, min(overs, default=None)),
        summary=SearchSummary(
            enumerated=sum(part.enumerated for part in found),
            after_rules=after_rules,
            after_memory=after_memory,
            evaluated=sum(part.evaluated for part in found),
            seconds=seconds,
            optimality="exact",
            dropped=dropped,
            dimensions=found[0].dimensions,
        ),
    )


def result(
    mode: Literal["homogeneous", "heterogeneous", "cost"],
    architecture: Architecture,
    *,
    candidates: list[Candidate],
    summary: SearchSummary,
    reasons: list[Reason],
    frontier: list[Candidate] | None = None,
    insight: Insight | None = None,
) -> PlanResult:
    """Return an answer stamped with the engine's version and the catalogue's digest."""
    return PlanResult(
        mode=mode,
        model=architecture.name,
        parameters=count_parameters(architecture).total(architecture),
        best=candidates[0] if candidates else None,
        candidates=candidates,
        frontier=frontier or [],
        search=summary,
        reasons=reasons,
        insight=insight,
        engine_version=ENGINE_VERSION,
        catalog_digest=digest(),
    )

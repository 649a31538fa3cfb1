"""Answers from what the searches of each mode found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.catalog import digest
from planner.engine.model import count_parameters
from planner.engine.money import money_of
from planner.engine.outputs import Candidate, Insight, PlanResult, Reason, SearchSummary
from planner.engine.parts import Part, Ranked
from planner.engine.pricing import estimate_strategy
from planner.engine.space.codec import decode
from planner.engine.version import ENGINE_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.engine.homogeneous import Found
    from planner.engine.model import Architecture
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options, Share


def ranked(found: Sequence[Found], share: Share, tokens: float | None) -> list[Ranked]:
    """Return the best points of several problems with their places."""
    return [
        Ranked(rank=(float(seconds), 0.0, number, share.index, row), candidate=_of_found(one, row, tokens))
        for number, one in enumerate(found)
        for row, seconds in enumerate(one.best.seconds)
    ]


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
    priced = estimate_strategy(problem, strategy, tokens, admitted=True)
    name = problem.device.name
    return Candidate(
        gpu=name,
        gpus=problem.gpus,
        strategy=strategy,
        estimate=priced,
        cost=money_of({name: problem.gpus}, priced.hours, prices),
    )


def summary_of(
    whole: Part, optimality: str, *, after_memory: int | None = None, dimensions: dict[str, int] | None = None
) -> SearchSummary:
    """Return how the answer was found."""
    return SearchSummary(
        enumerated=whole.enumerated,
        after_rules=whole.after_rules,
        after_memory=whole.after_memory if after_memory is None else after_memory,
        evaluated=whole.evaluated,
        seconds=whole.seconds,
        optimality=optimality,
        dropped=whole.dropped,
        dimensions=whole.dimensions if dimensions is None else dimensions,
    )


def result(
    whole: Part,
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
        mode=whole.mode,
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

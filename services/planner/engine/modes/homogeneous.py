"""One GPU type in a given number."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from planner.engine.answers import ranked, result, summary_of
from planner.engine.explain import search_reasons
from planner.engine.hardware import resolve_device
from planner.engine.homogeneous import find
from planner.engine.optimality import of_best
from planner.engine.parts import Part, added, best, lowest
from planner.engine.patience import Patience
from planner.engine.problems import problem_variants, user_rules
from planner.engine.sensitivity import insight
from planner.engine.structure import require_possible

if TYPE_CHECKING:
    from planner.engine.inputs import HomogeneousCluster
    from planner.engine.modes.question import Question
    from planner.engine.outputs import PlanResult
    from planner.engine.problem import Problem
    from planner.engine.progress import Progress
    from planner.engine.space import Share


def _problems(question: Question[HomogeneousCluster]) -> list[Problem]:
    cluster = question.cluster
    device = resolve_device(cluster.gpu, cluster.links, field="cluster.gpu")
    problems = problem_variants(question.architecture, question.workload, device, cluster.count, question.options)
    require_possible(problems[0])
    return problems


def part(question: Question[HomogeneousCluster], share: Share, progress: Progress) -> Part:
    """Return the best strategies in a share of the space."""
    began = time.perf_counter()
    options, rules, patience = question.options, user_rules(question.options), Patience.of(question.options)
    problems = _problems(question)
    found = [find(problem, options, rules, progress, share=share, patience=patience) for problem in problems]
    after_memory = sum(one.after_memory for one in found)
    overs = [one.least_over for one in found if one.least_over is not None]
    dropped: dict[str, int] = {}
    for one in found:
        dropped = added(dropped, one.dropped)
    return Part(
        mode="homogeneous",
        limit=options.top_k,
        candidates=best(ranked(found, share, question.workload.tokens), options.top_k),
        enumerated=sum(one.enumerated for one in found),
        after_rules=sum(one.after_rules for one in found),
        after_memory=after_memory,
        evaluated=sum(one.evaluated for one in found),
        least_over=None if after_memory else min(overs, default=None),
        left=lowest([(one.left, 0.0) for one in found if one.left < float("inf")]),
        seconds=time.perf_counter() - began,
        dropped=dropped,
        dimensions=found[0].dimensions,
    )


def answer(question: Question[HomogeneousCluster], whole: Part) -> PlanResult:
    """Return the answer, with its sensitivities where they were asked for."""
    told = None
    if question.options.explain and whole.candidates:
        fastest = whole.candidates[0]
        problem = _problems(question)[fastest.rank[2]]
        told = insight(problem, fastest.candidate, question.options, user_rules(question.options))
    return result(
        whole,
        question.architecture,
        candidates=[one.candidate for one in whole.candidates],
        summary=summary_of(whole, of_best(whole)),
        reasons=search_reasons(whole.dropped, whole.after_rules, whole.after_memory, whole.least_over),
        insight=told,
    )

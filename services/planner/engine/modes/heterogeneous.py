"""Several GPU types in one pipeline, or all GPUs of one of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from planner.engine.answers import ranked, result, summary_of
from planner.engine.explain import search_reasons
from planner.engine.hardware import resolve_devices
from planner.engine.heterogeneous import Mixes, Pool, candidate_of, find_mix
from planner.engine.homogeneous import find
from planner.engine.modes.restrictions import require_mixable, require_one_kernel
from planner.engine.optimality import of_best
from planner.engine.outputs import Reason
from planner.engine.parts import Part, Ranked, added, best, lowest
from planner.engine.patience import Patience
from planner.engine.problems import problem_of, user_rules
from planner.engine.structure import require_possible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.homogeneous import Found
    from planner.engine.inputs import HeterogeneousCluster
    from planner.engine.modes.question import Question
    from planner.engine.outputs import PlanResult
    from planner.engine.progress import Progress
    from planner.engine.space import Share

_MIXES = -1
"""Problem of a rank: a mix of all, before each type alone."""


def _pools(question: Question[HeterogeneousCluster]) -> list[Pool]:
    cluster = question.cluster
    require_one_kernel(question.options.space)
    require_mixable(question.options.space)
    devices = resolve_devices(cluster.limits, cluster.links, "cluster.limits")
    attention = "flash" if all(device.has_flash_attention for device in devices.values()) else "unfused"
    rate = None if cluster.inter_type_gbps is None else cluster.inter_type_gbps * 1e9
    pools = []
    for name, device in devices.items():
        precision = question.workload.precision
        problem = problem_of(
            question.architecture,
            question.workload,
            device,
            cluster.total,
            precision,
            attention,
            field="cluster.limits",
        )
        pools.append(Pool(problem, cluster.limits[name], rate))
    require_possible(pools[0].problem, field="cluster.total")
    return pools


def part(question: Question[HeterogeneousCluster], share: Share, progress: Progress) -> Part:
    """Return the best plans that use exactly `cluster.total` GPUs, from a share of the common strategies."""
    began = time.perf_counter()
    options, rules, patience = question.options, user_rules(question.options), Patience.of(question.options)
    pools = _pools(question)
    mixes = find_mix(pools, options, rules, progress, share=share, patience=patience)
    alone = [
        find(pool.problem, options, rules, progress, share=share, patience=patience)
        for pool in pools
        if pool.limit >= question.cluster.total
    ]
    dropped = mixes.admission.dropped
    for one in alone:
        dropped = added(dropped, one.dropped)
    tokens = question.workload.tokens
    return Part(
        mode="heterogeneous",
        limit=options.top_k,
        candidates=best([*_mixed(mixes, share, tokens), *ranked(alone, share, tokens)], options.top_k),
        enumerated=mixes.enumerated + sum(one.enumerated for one in alone),
        after_rules=mixes.admission.admitted + sum(one.after_rules for one in alone),
        after_memory=sum(one.after_memory for one in alone),
        evaluated=mixes.evaluated + sum(one.evaluated for one in alone),
        layouts=len(mixes.admission.grid.layouts),
        mixes=len(mixes.best),
        fillable=mixes.assigned_somewhere,
        left=_left(mixes, alone),
        seconds=time.perf_counter() - began,
        dropped=dropped,
        dimensions=mixes.dimensions,
    )


def _mixed(mixes: Mixes, share: Share, tokens: float | None) -> list[Ranked]:
    candidates = [candidate_of(mixes.pricing, mix, tokens) for mix in mixes.best]
    return [
        Ranked(rank=(one.estimate.iteration_seconds, 0.0, _MIXES, share.index, position), candidate=one)
        for position, one in enumerate(candidates)
    ]


def _left(mixes: Mixes, alone: Sequence[Found]) -> list[tuple[float, float]]:
    bounds = [one.left for one in alone]
    if mixes.left < float("inf"):
        bounds.append(mixes.left * mixes.pricing.straggling)
    return lowest([(bound, 0.0) for bound in bounds if bound < float("inf")])


def answer(question: Question[HeterogeneousCluster], whole: Part) -> PlanResult:
    """Return the answer."""
    return result(
        whole,
        question.architecture,
        candidates=[one.candidate for one in whole.candidates],
        summary=summary_of(
            whole,
            of_best(whole),
            after_memory=whole.after_memory + whole.mixes,
            dimensions={"layouts": whole.layouts, **whole.dimensions},
        ),
        reasons=[] if whole.candidates else _reasons(whole),
    )


def _reasons(whole: Part) -> list[Reason]:
    if whole.fillable or not whole.after_rules:
        return search_reasons(whole.dropped, whole.after_rules, 0, None)
    message = "no pipeline degree leaves stages that the limits of the types can fill"
    return [Reason(rule="limits", message=message, remedy="raise a limit, or choose a total that more degrees divide")]

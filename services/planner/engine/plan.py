"""The engine's front door: validated questions in, typed answers out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from planner.catalog import digest
from planner.engine.errors import InvalidRequest
from planner.engine.pricing import estimate_strategy
from planner.engine.explain import search_reasons
from planner.engine.hardware import resolve_device
from planner.engine.homogeneous import Found, find
from planner.engine.inputs import (
    Cluster,
    HomogeneousCluster,
    ModelSpec,
    Objective,
    SearchOptions,
    Strategy,
    Workload,
    resolve_model,
)
from planner.engine.model import count_parameters
from planner.engine.money import money_of
from planner.engine.outputs import Candidate, Estimate, PlanResult, SearchSummary
from planner.engine.problem import Problem
from planner.engine.progress import Progress, silent
from planner.engine.rules import Rule, RuleError, parse_rule
from planner.engine.space.codec import decode
from planner.engine.structure import require_possible
from planner.engine.version import ENGINE_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.hardware import Device
    from planner.engine.model import Architecture


def search(
    model: ModelSpec,
    workload: Workload,
    cluster: Cluster,
    options: SearchOptions | None = None,
    objective: Objective = "throughput",  # noqa: ARG001 - on a fixed cluster every objective has the same optimum
    progress: Progress = silent,
) -> PlanResult:
    """Return the best strategies for training `model` on `cluster`.

    `progress(phase, completed, total, unit)` is called between chunks and may raise to cancel. InvalidRequest when
    the question cannot be asked; an empty answer with reasons when nothing fits.
    """
    began = time.perf_counter()
    options = options or SearchOptions()
    rules = user_rules(options)
    if not isinstance(cluster, HomogeneousCluster):
        raise InvalidRequest("cluster.mode", cluster.mode, "is not built yet", "use homogeneous")
    architecture = resolve_model(model)
    device = resolve_device(cluster.gpu, cluster.links, field="cluster.gpu")
    problems = problem_variants(architecture, workload, device, cluster.count, options)
    require_possible(problems[0])
    found = [find(problem, options, rules, progress) for problem in problems]
    return _result(architecture, workload, found, options, time.perf_counter() - began)


def estimate(
    model: ModelSpec,
    workload: Workload,
    cluster: HomogeneousCluster,
    strategy: Strategy,
    *,
    field: str = "strategy",
) -> Estimate:
    """Return the price of one strategy on one cluster; InvalidRequest, at `field`, when it cannot be laid out there."""
    architecture = resolve_model(model)
    device = resolve_device(cluster.gpu, cluster.links, field="cluster.gpu")
    attention = strategy.attention or ("flash" if device.has_flash_attention else "unfused")
    problem = problem_of(architecture, workload, device, cluster.count, workload.precision, attention)
    return estimate_strategy(problem, strategy, workload.tokens, field=field)


def user_rules(options: SearchOptions) -> list[Rule]:
    """Return the request's own rules; InvalidRequest names the one that cannot be read."""
    rules = []
    for index, expression in enumerate(options.rules):
        try:
            parse_rule(expression)
        except RuleError as error:
            remedy = "see the documented rule language"
            raise InvalidRequest(f"search.rules[{index}]", expression, str(error), remedy) from error
        rules.append(Rule(f"rules[{index}]", expression, f"your rule: {expression}"))
    return rules


def problem_of(
    architecture: Architecture,
    workload: Workload,
    device: Device,
    gpus: int,
    precision: str,
    attention: str,
) -> Problem:
    """Return the problem of training `architecture` on `gpus` of `device`."""
    device.peak_flops(precision)
    return Problem(
        architecture=architecture,
        device=device,
        gpus=gpus,
        batch=workload.global_batch_size,
        sequence=workload.sequence_length,
        precision=precision,
        gradient_bytes=4 if workload.gradient_precision == "fp32" else 2,
        flash_attention=attention == "flash",
    )


def problem_variants(
    architecture: Architecture,
    workload: Workload,
    device: Device,
    gpus: int,
    options: SearchOptions,
) -> list[Problem]:
    """Return one problem for each combination of the dimensions that change the kernels: precision and attention."""
    precisions = options.space.precision or [workload.precision]
    attentions = options.space.attention or ["flash" if device.has_flash_attention else "unfused"]
    return [
        problem_of(architecture, workload, device, gpus, precision, attention)
        for precision in dict.fromkeys(precisions)
        for attention in dict.fromkeys(attentions)
    ]


def _candidates(found: Sequence[Found], workload: Workload, limit: int) -> list[Candidate]:
    ranked = sorted(
        (float(seconds), variant, row)
        for variant, part in enumerate(found)
        for row, seconds in enumerate(part.best.seconds)
    )
    return [_candidate(found[variant], row, workload) for _, variant, row in ranked[:limit]]


def _candidate(found: Found, row: int, workload: Workload) -> Candidate:
    best, problem = found.best, found.problem
    layout, work, state = (int(column[row]) for column in (best.layout, best.work, best.state))
    strategy = decode(found.layouts, found.options, layout, work, state, flash=problem.flash_attention)
    priced = estimate_strategy(problem, strategy, workload.tokens)
    return Candidate(
        gpu=problem.device.name,
        gpus=problem.gpus,
        strategy=strategy,
        estimate=priced,
        cost=money_of({problem.device.name: problem.gpus}, priced.hours),
    )


def _result(
    architecture: Architecture,
    workload: Workload,
    found: Sequence[Found],
    options: SearchOptions,
    seconds: float,
) -> PlanResult:
    candidates = _candidates(found, workload, options.top_k)
    dropped: dict[str, int] = {}
    for part in found:
        for rule, count in part.dropped.items():
            dropped[rule] = dropped.get(rule, 0) + count
    after_rules, after_memory = (sum(getattr(part, name) for part in found) for name in ("after_rules", "after_memory"))
    overs = [part.least_over for part in found if part.least_over is not None]
    return PlanResult(
        mode="homogeneous",
        model=architecture.name,
        parameters=count_parameters(architecture).total(architecture),
        best=candidates[0] if candidates else None,
        candidates=candidates,
        frontier=[],
        search=SearchSummary(
            enumerated=sum(part.enumerated for part in found),
            after_rules=after_rules,
            after_memory=after_memory,
            evaluated=sum(part.evaluated for part in found),
            seconds=seconds,
            optimality="exact",
            dropped=dropped,
            dimensions=found[0].dimensions,
        ),
        reasons=search_reasons(dropped, after_rules, after_memory, min(overs, default=None)),
        engine_version=ENGINE_VERSION,
        catalog_digest=digest(),
    )

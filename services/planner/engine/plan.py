"""The engine's front door: validated questions in, typed answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.engine.hardware import resolve_device
from planner.engine.inputs import HeterogeneousCluster, HomogeneousCluster, SearchOptions, resolve_model
from planner.engine.modes import search_cost, search_heterogeneous, search_homogeneous
from planner.engine.pricing import estimate_strategy
from planner.engine.problems import problem_of
from planner.engine.progress import Progress, silent
from planner.engine.terms import estimate_terms

if TYPE_CHECKING:
    from planner.engine.inputs import Cluster, ModelSpec, Objective, Strategy, Workload
    from planner.engine.outputs import Estimate, PlanResult, Term
    from planner.engine.problem import Problem


def search(
    model: ModelSpec,
    workload: Workload,
    cluster: Cluster,
    options: SearchOptions | None = None,
    objective: Objective = "throughput",
    progress: Progress = silent,
) -> PlanResult:
    """Return the best strategies for training `model` on `cluster`.

    `objective` chooses among plans on different numbers of GPUs, so it matters in cost mode only. `progress(phase,
    completed, total, unit)` is called between chunks and may raise to cancel. InvalidRequest when the question cannot
    be asked; an empty answer with reasons when nothing fits.
    """
    architecture = resolve_model(model)
    options = options or SearchOptions()
    if isinstance(cluster, HomogeneousCluster):
        return search_homogeneous(architecture, workload, cluster, options, progress)
    if isinstance(cluster, HeterogeneousCluster):
        return search_heterogeneous(architecture, workload, cluster, options, progress)
    return search_cost(architecture, workload, cluster, options, objective, progress)


def estimate(
    model: ModelSpec,
    workload: Workload,
    cluster: HomogeneousCluster,
    strategy: Strategy,
    *,
    field: str = "strategy",
) -> Estimate:
    """Return the price of one strategy on one cluster; InvalidRequest, at `field`, when it cannot be laid out there."""
    problem = estimate_problem(model, workload, cluster, strategy)
    return estimate_strategy(problem, strategy, workload.tokens, field=field)


def explain(model: ModelSpec, workload: Workload, cluster: HomogeneousCluster, strategy: Strategy) -> list[Term]:
    """Return the quantities that the estimate of `strategy` is made of."""
    return estimate_terms(estimate_problem(model, workload, cluster, strategy), strategy)


def estimate_problem(model: ModelSpec, workload: Workload, cluster: HomogeneousCluster, strategy: Strategy) -> Problem:
    """Return the problem that `strategy` answers."""
    device = resolve_device(cluster.gpu, cluster.links, field="cluster.gpu")
    attention = strategy.attention or ("flash" if device.has_flash_attention else "unfused")
    return problem_of(resolve_model(model), workload, device, cluster.count, workload.precision, attention)

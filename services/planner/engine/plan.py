"""The engine's front door: validated questions in, typed answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from planner.engine.hardware import resolve_device
from planner.engine.inputs import CostCluster, HeterogeneousCluster, HomogeneousCluster, SearchOptions, resolve_model
from planner.engine.modes import Question, cost, heterogeneous, homogeneous
from planner.engine.parts import join
from planner.engine.pricing import estimate_strategy
from planner.engine.problems import problem_of
from planner.engine.progress import Progress, silent
from planner.engine.space import WHOLE
from planner.engine.terms import estimate_terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.inputs import Cluster, ModelSpec, Objective, Strategy, Workload
    from planner.engine.outputs import Estimate, PlanResult, Term
    from planner.engine.parts import Part
    from planner.engine.problem import Problem
    from planner.engine.space import Share


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
    question = ask(model, workload, cluster, options, objective)
    return answer(question, [search_share(question, WHOLE, progress)])


def ask(
    model: ModelSpec,
    workload: Workload,
    cluster: Cluster,
    options: SearchOptions | None = None,
    objective: Objective = "throughput",
) -> Question[Cluster]:
    """Return the question of a search, to be searched by share."""
    return Question(resolve_model(model), workload, cluster, options or SearchOptions(), objective)


def search_share(question: Question[Cluster], share: Share, progress: Progress = silent) -> Part:
    """Return what a share of the question's space holds."""
    match question.cluster:
        case HomogeneousCluster():
            return homogeneous.part(cast("Question[HomogeneousCluster]", question), share, progress)
        case HeterogeneousCluster():
            return heterogeneous.part(cast("Question[HeterogeneousCluster]", question), share, progress)
        case CostCluster():
            return cost.part(cast("Question[CostCluster]", question), share, progress)


def answer(question: Question[Cluster], parts: Sequence[Part]) -> PlanResult:
    """Return the answer read off the parts of all shares of the question's space."""
    whole = join(parts)
    match question.cluster:
        case HomogeneousCluster():
            return homogeneous.answer(cast("Question[HomogeneousCluster]", question), whole)
        case HeterogeneousCluster():
            return heterogeneous.answer(cast("Question[HeterogeneousCluster]", question), whole)
        case CostCluster():
            return cost.answer(cast("Question[CostCluster]", question), whole)


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

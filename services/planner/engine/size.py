"""How large a search is, before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.engine.hardware import resolve_devices
from planner.engine.inputs import CostCluster, HeterogeneousCluster, HomogeneousCluster
from planner.engine.problems import problem_of
from planner.engine.space import layout_axes
from planner.engine.space.layouts import divisors

if TYPE_CHECKING:
    from planner.engine.inputs import Cluster, Space
    from planner.engine.modes import Question
    from planner.engine.problem import Problem


def layouts_of(question: Question[Cluster]) -> int:
    """Return how many layouts a search looks at, at most: over all GPU types and, in cost mode, all counts."""
    cluster, options = question.cluster, question.options
    match cluster:
        case HomogeneousCluster():
            types, links, count = [cluster.gpu], {cluster.gpu: cluster.links}, cluster.count
        case HeterogeneousCluster():
            types, links, count = list(cluster.limits), cluster.links, cluster.total
        case CostCluster():
            types, links, count = list(cluster.gpus), cluster.links, cluster.max_count
    total = 0
    for device in resolve_devices(types, links, "cluster").values():
        workload = question.workload
        problem = problem_of(question.architecture, workload, device, count, workload.precision, "flash")
        layouts = _of_any_count if isinstance(cluster, CostCluster) else _of_one_count
        total += layouts(problem, options.space)
    return total * len(options.space.precision or [1]) * len(options.space.attention or [1])


def _of_one_count(problem: Problem, space: Space) -> int:
    return layout_axes(problem, space).size


def _of_any_count(problem: Problem, space: Space) -> int:
    """Count the layouts of every number of replicas that fits the GPUs."""
    axes = layout_axes(problem, space, any_count=True)
    models = np.multiply.outer(np.multiply.outer(axes.tensor, axes.context), axes.pipelines.stages).ravel()
    replicas = np.searchsorted(divisors(problem.batch), problem.gpus // models, side="right")
    return int(replicas.sum()) * len(axes.expert) * len(axes.expert_tensor) * len(axes.micro_batch)

"""What every mode is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from planner.engine.inputs import CostCluster, HeterogeneousCluster, HomogeneousCluster

if TYPE_CHECKING:
    from planner.engine.inputs import Objective, SearchOptions, Workload
    from planner.engine.model import Architecture

ClusterT_co = TypeVar("ClusterT_co", bound=HomogeneousCluster | HeterogeneousCluster | CostCluster, covariant=True)


@dataclass(frozen=True, slots=True)
class Question(Generic[ClusterT_co]):
    """A search with its model resolved."""

    architecture: Architecture
    workload: Workload
    cluster: ClusterT_co
    options: SearchOptions
    objective: Objective

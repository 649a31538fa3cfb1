"""What a search or an estimate is asked: typed, bounded, and refused with the field's name when wrong."""

from planner.engine.inputs.cluster import Cluster, CostCluster, HeterogeneousCluster, HomogeneousCluster, LinkOverrides
from planner.engine.inputs.model import ExplicitModel, HuggingFaceModel, ModelSpec, PresetModel, resolve_model
from planner.engine.inputs.search import Objective, SearchOptions, Space
from planner.engine.inputs.strategy import Strategy
from planner.engine.inputs.workload import Precision, Workload

__all__ = [
    "Cluster",
    "CostCluster",
    "ExplicitModel",
    "HeterogeneousCluster",
    "HomogeneousCluster",
    "HuggingFaceModel",
    "LinkOverrides",
    "ModelSpec",
    "Objective",
    "Precision",
    "PresetModel",
    "SearchOptions",
    "Space",
    "Strategy",
    "Workload",
    "resolve_model",
]

"""Strategy search and estimation as a library.

    from planner.engine import HomogeneousCluster, PresetModel, Workload, search

    plan = search(
        PresetModel(preset="llama-2-7b"),
        Workload(global_batch_size=512, sequence_length=4096),
        HomogeneousCluster(gpu="a100-80gb-sxm", count=64),
    )
    plan.best.strategy, plan.best.estimate.iteration_seconds

Pure: no web, database or network; the only files read are the catalogue's own. Inputs mirror the bodies of POST
/plans and POST /estimates, outputs their results.
"""

from planner.engine.errors import InvalidRequest
from planner.engine.inputs import (
    Cluster,
    CostCluster,
    ExplicitModel,
    HeterogeneousCluster,
    HomogeneousCluster,
    HuggingFaceModel,
    LinkOverrides,
    ModelSpec,
    Objective,
    PresetModel,
    SearchOptions,
    Space,
    Strategy,
    Workload,
)
from planner.engine.outputs import Candidate, Estimate, PlanResult
from planner.engine.parts import Part
from planner.engine.plan import answer, ask, estimate, explain, search, search_share
from planner.engine.progress import Progress
from planner.engine.space import Share
from planner.engine.version import ENGINE_VERSION

__all__ = [
    "ENGINE_VERSION",
    "Candidate",
    "Cluster",
    "CostCluster",
    "Estimate",
    "ExplicitModel",
    "HeterogeneousCluster",
    "HomogeneousCluster",
    "HuggingFaceModel",
    "InvalidRequest",
    "LinkOverrides",
    "ModelSpec",
    "Objective",
    "Part",
    "PlanResult",
    "PresetModel",
    "Progress",
    "SearchOptions",
    "Share",
    "Space",
    "Strategy",
    "Workload",
    "answer",
    "ask",
    "estimate",
    "explain",
    "search",
    "search_share",
]

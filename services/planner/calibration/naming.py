"""A question that names a stored calibration becomes one that carries its factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from planner.calibration import store
from planner.engine import CostCluster, HeterogeneousCluster, HomogeneousCluster, InvalidRequest, LinkOverrides
from planner.engine.hardware import resolve_device
from planner.schemas import EstimateRequest, PlanRequest

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from planner.calibration.schemas import CalibrationView

_Question = TypeVar("_Question", PlanRequest, EstimateRequest)


def resolved(session: Session, owner: str, body: _Question) -> _Question:
    """Return `body` with the factors of the calibration it names; InvalidRequest when there is none for its GPUs."""
    if body.calibration is None:
        return body
    view = store.find(session, owner, body.calibration)
    if view is None:
        raise InvalidRequest(
            "calibration", str(body.calibration), "is not a calibration of yours", "use an id from GET /calibrations"
        )
    cluster = body.cluster
    if isinstance(cluster, HomogeneousCluster):
        if not _is(cluster.gpu, view):
            raise _for_other_gpu(view)
        changed = cluster.model_copy(update={"links": _with(cluster.links, view)})
        return body.model_copy(update={"cluster": changed, "calibration": None})
    names = [name for name in _names(cluster) if _is(name, view)]
    if not names:
        raise _for_other_gpu(view)
    links = {**cluster.links, **{name: _with(cluster.links.get(name, LinkOverrides()), view) for name in names}}
    return body.model_copy(update={"cluster": cluster.model_copy(update={"links": links}), "calibration": None})


def _names(cluster: HeterogeneousCluster | CostCluster) -> list[str]:
    return list(cluster.limits) if isinstance(cluster, HeterogeneousCluster) else cluster.gpus


def _is(name: str, view: CalibrationView) -> bool:
    return resolve_device(name, LinkOverrides(), field="cluster").name == view.gpu


def _with(links: LinkOverrides, view: CalibrationView) -> LinkOverrides:
    return links.model_copy(update={"stack": view.stack, "factors": view.factors})


def _for_other_gpu(view: CalibrationView) -> InvalidRequest:
    return InvalidRequest("calibration", str(view.id), f"is for {view.gpu}, which the cluster lacks", "leave it out")

"""Bodies of the planner's API, and their canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AnyHttpUrl, ConfigDict, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from kit.jobs.views import JobView
from planner.engine import ENGINE_VERSION, InvalidRequest, Progress, ask, estimate, explain, search
from planner.engine.hardware import resolve_device
from planner.engine.inputs import (
    Cluster,
    CostCluster,
    HeterogeneousCluster,
    HomogeneousCluster,
    LinkOverrides,
    ModelSpec,
    Objective,
    PresetModel,
    SearchOptions,
    Strategy,
    Workload,
    resolve_model,
)
from planner.engine.inputs.base import Input, Text
from planner.engine.modes import Question
from planner.engine.outputs import Candidate, Estimate, Insight, Output, PlanResult, Reason, SearchSummary, Term
from planner.engine.progress import silent

_EXAMPLE: dict[str, JsonValue] = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 512, "sequence_length": 4096, "tokens": 2e12, "precision": "bf16"},
    "cluster": {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 64},
    "search": {"top_k": 5},
}


class Asked(Input):
    """What both kinds of request ask about."""

    model: ModelSpec = Field(description="A preset, a Hugging Face config.json, or explicit dimensions.")
    workload: Workload
    calibration: UUID | None = Field(
        default=None, description="Id of a calibration of yours, from POST /calibrations, for its GPU type."
    )

    def require_resolved(self) -> None:
        """InvalidRequest while a calibration is only named: the API puts its factors into the cluster's links."""
        if self.calibration is not None:
            remedy = "send the calibration's stack and factors in the cluster's links"
            raise InvalidRequest("calibration", str(self.calibration), "cannot be looked up here", remedy)


class JobOptions(Input):
    """What a job carries besides its question."""

    labels: dict[
        Annotated[Text, StringConstraints(min_length=1, max_length=63)],
        Annotated[Text, StringConstraints(max_length=255)],
    ] = Field(default={}, max_length=32, examples=[{"team": "pretraining"}])
    external_id: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = Field(
        default=None, description="The caller's own id of the job; one job per id."
    )
    priority: int = Field(default=5, ge=0, le=9, description="The higher goes first among your waiting jobs.")
    webhook: AnyHttpUrl | None = Field(default=None, description="Told when the job ends.")


class PlanRequest(Asked, JobOptions):
    """Find the best strategies."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    cluster: Cluster
    search: SearchOptions = SearchOptions()
    objective: Objective = "throughput"

    def spec(self) -> dict[str, Any]:
        """What its job keeps, as JSON: all but what names the job and orders it among others."""
        return self.model_dump(mode="json", exclude={"external_id", "priority"})

    def canonical(self, spec: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The question alone, as JSON: names resolved, defaults filled, sets sorted. InvalidRequest on an unknown name.

        Two requests with equal canonical forms have equal answers under one engine version and catalogue digest.
        ``spec``: this request's, from whoever has it already.
        """
        self.require_resolved()
        spec = spec or self.spec()
        return {
            "model": _canonical_model(self.model),
            "workload": spec["workload"],
            "cluster": _canonical_cluster(self.cluster, spec["cluster"]),
            "search": _canonical_search(spec["search"]),
            "objective": self.objective,
        }

    def asked(self) -> Question[Cluster]:
        """The question for the engine, to be searched by share."""
        return ask(self.model, self.workload, self.cluster, self.search, self.objective)

    def run(self, progress: Progress = silent) -> PlanResult:
        """Search; InvalidRequest when the question cannot be asked."""
        self.require_resolved()
        return search(self.model, self.workload, self.cluster, self.search, self.objective, progress)


class EstimateRequest(Asked):
    """Price given strategies: one in `strategy`, or several in `strategies`."""

    cluster: HomogeneousCluster
    strategy: Strategy | None = None
    strategies: Annotated[list[Strategy], Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.strategy is None) == (self.strategies is None):
            raise PydanticCustomError(
                "strategy_or_strategies",
                "needs either strategy or strategies",
                {"remedy": "send one strategy object, or a list of them in strategies"},
            )
        return self

    def explain(self) -> list[Term]:
        """The terms of `strategy`'s estimate."""
        return explain(self.model, self.workload, self.cluster, self.strategy or Strategy())

    def run(self) -> Estimate | Estimates:
        """Price; InvalidRequest at the strategy that cannot be laid out."""
        self.require_resolved()
        if self.strategies is None:
            return estimate(self.model, self.workload, self.cluster, self.strategy or Strategy())
        priced = [
            estimate(self.model, self.workload, self.cluster, strategy, field=f"strategies.{index}")
            for index, strategy in enumerate(self.strategies)
        ]
        return Estimates(estimates=priced)


class Estimates(Output):
    """The prices of several strategies, in the order asked."""

    estimates: list[Estimate]


class PlanView(JobView):
    """A plan's job, with the answer once it has succeeded."""

    mode: str | None = None
    model: str | None = None
    parameters: int | None = None
    best: Candidate | None = None
    candidates: list[Candidate] = Field(default=[])
    frontier: list[Candidate] = Field(default=[])
    search: SearchSummary | None = None
    reasons: list[Reason] = Field(default=[])
    insight: Insight | None = None
    engine_version: str = ENGINE_VERSION
    catalog_digest: str | None = None


def _canonical_model(model: ModelSpec) -> dict[str, Any]:
    """The model's dimensions; those of a preset are looked up once."""
    return _canonical_preset(model) if isinstance(model, PresetModel) else asdict(resolve_model(model))


@cache
def _canonical_preset(model: PresetModel) -> dict[str, Any]:
    return asdict(resolve_model(model))


def _canonical_name(name: str, links: LinkOverrides, field: str) -> str:
    return resolve_device(name, links, field=field).name


def _canonical_cluster(
    cluster: HomogeneousCluster | HeterogeneousCluster | CostCluster, spec: Mapping[str, Any]
) -> dict[str, Any]:
    body = dict(spec)
    if isinstance(cluster, HomogeneousCluster):
        return body | {"gpu": _canonical_name(cluster.gpu, cluster.links, "cluster.gpu")}

    def renamed(table: dict[str, Any], field: str) -> dict[str, Any]:
        return {
            _canonical_name(name, LinkOverrides(), f"cluster.{field}.{name}"): table[name] for name in sorted(table)
        }

    body["links"] = renamed(body["links"], "links")
    if isinstance(cluster, HeterogeneousCluster):
        return body | {"limits": renamed(body["limits"], "limits")}
    names = {_canonical_name(name, LinkOverrides(), f"cluster.gpus.{index}") for index, name in enumerate(cluster.gpus)}
    return body | {"gpus": sorted(names), "prices": renamed(body["prices"], "prices")}


def _canonical_search(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**spec, "space": {name: values and sorted(set(values)) for name, values in spec["space"].items()}}

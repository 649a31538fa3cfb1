"""What an export is made from, and how one says no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.engine.hardware import links_of, resolve_device
from planner.engine.heterogeneous import Pool
from planner.engine.inputs import CostCluster, HeterogeneousCluster, HomogeneousCluster, LinkOverrides, resolve_model
from planner.engine.problems import problem_of
from planner.engine.space.codec import encode

if TYPE_CHECKING:
    from planner.engine.hardware import Device
    from planner.engine.inputs import Cluster, ModelSpec, Strategy, Workload
    from planner.engine.model import Architecture
    from planner.engine.outputs import Candidate
    from planner.engine.problem import Problem


class CannotExpressError(ValueError):
    """The consumer has no way to say one dimension of the plan."""

    def __init__(self, consumer: str, dimension: str, value: object, reason: str) -> None:
        self.consumer, self.dimension, self.value, self.reason = consumer, dimension, value, reason
        super().__init__(f"{consumer} cannot express {dimension} = {value}: {reason}")


@dataclass(frozen=True, slots=True)
class Export:
    """A file's name, media type and text."""

    filename: str
    media_type: str
    text: str


@dataclass(frozen=True, slots=True)
class PlanContext:
    """One candidate with the question it answers."""

    architecture: Architecture
    workload: Workload
    candidate: Candidate
    devices: dict[str, Device]
    inter_type_rate: float | None = None

    @classmethod
    def of(cls, model: ModelSpec, workload: Workload, cluster: Cluster, candidate: Candidate) -> PlanContext:
        """Return the context of `candidate`, an answer to (model, workload, cluster)."""
        devices = {
            name: resolve_device(name, _links(cluster, name), field="cluster") for name in candidate.gpu.split("+")
        }
        gbps = cluster.inter_type_gbps if isinstance(cluster, HeterogeneousCluster) else None
        return cls(resolve_model(model), workload, candidate, devices, None if gbps is None else gbps * 1e9)

    @property
    def strategy(self) -> Strategy:
        """The candidate's strategy."""
        return self.candidate.strategy

    @property
    def gpus_per_node(self) -> int:
        """GPUs of a node; of the smallest one in a mix."""
        return min(device.gpus_per_node for device in self.devices.values())

    @property
    def micro_batches(self) -> int:
        """Micro-batches per step."""
        per_step = (self.strategy.data_parallel or 1) * self.strategy.micro_batch_size
        return self.workload.global_batch_size // per_step

    def problem(self) -> Problem:
        """The problem of a plan on one GPU type."""
        (device,) = self.devices.values()
        return self._problem_on(device)

    def pools(self) -> list[Pool]:
        """The GPU types of a mixed plan, in the order of `devices`."""
        return [
            Pool(self._problem_on(device), self.candidate.gpus, self.inter_type_rate)
            for device in self.devices.values()
        ]

    def _problem_on(self, device: Device) -> Problem:
        attention = self.strategy.attention or "flash"
        precision = self.workload.precision
        return problem_of(self.architecture, self.workload, device, self.candidate.gpus, precision, attention)

    def stage_chunks(self) -> list[list[int]]:
        """Layers of every chunk of every stage: [stage][chunk]."""
        if self.candidate.assignment is not None:
            return [[count] for run in self.candidate.assignment for count in run.layers]
        layouts, _ = encode(self.problem(), self.strategy)
        sizes = [int(column[0]) for column in (layouts.first_layers, layouts.middle_layers, layouts.last_layers)]
        return deal_chunks(
            sizes[0], sizes[1], sizes[2], self.strategy.pipeline_parallel, self.strategy.virtual_pipeline
        )


def deal_chunks(first: int, middle: int, last: int, stages: int, chunks: int) -> list[list[int]]:
    """Split stages into chunks: what the ends lack is taken from the very first chunk and the very last."""
    if stages == 1:
        return [[first]]
    whole = middle or max(-(-size // chunks) * chunks for size in (first, last))
    rows = [[whole // chunks] * chunks for _ in range(stages)]
    _take(rows[0], whole - first, list(range(chunks)))
    _take(rows[-1], whole - last, list(reversed(range(chunks))))
    return rows


def _take(row: list[int], missing: int, order: list[int]) -> None:
    for chunk in order:
        taken = min(row[chunk], missing)
        row[chunk] -= taken
        missing -= taken


def _links(cluster: Cluster, name: str) -> LinkOverrides:
    if isinstance(cluster, HomogeneousCluster):
        return cluster.links
    assert isinstance(cluster, HeterogeneousCluster | CostCluster)  # noqa: S101 - the union has no other member
    return links_of(cluster.links, name, name)

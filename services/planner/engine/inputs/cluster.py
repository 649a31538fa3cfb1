"""What is trained on: GPUs, how many, and how they are linked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from planner.engine.inputs.base import Input, Name, refused

Count = Annotated[int, Field(ge=1, le=1_048_576)]
_Rate = Annotated[float, Field(gt=0, le=100_000)]
Stack = Literal["megatron-core", "megatron-flash", "megatron-legacy", "fsdp", "jax"]


class LinkOverrides(Input):
    """What differs from the reference system of a GPU type. Rates are one-directional, in 1e9 bytes per second."""

    gpus_per_node: Annotated[int, Field(ge=1, le=1024)] | None = None
    domain: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None, description="GPUs in one scale-up (NVLink) domain."
    )
    scale_up_gbps: _Rate | None = Field(default=None, description="Scale-up link per GPU.")
    scale_out_gbps: _Rate | None = Field(default=None, description="Network per GPU.")
    scale_up_latency_us: _Rate | None = None
    scale_out_latency_us: _Rate | None = None
    nics_per_node: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Network ports a node has; with fewer than GPUs they are shared.",
    )
    oversubscription: Annotated[float, Field(ge=1, le=64)] = Field(
        default=1.0,
        description="Ratio by which the fabric above the leaf switches is thinner than the leaves.",
    )
    memory_gib: _Rate | None = Field(default=None, description="Usable memory per GPU.")
    stack: Stack = Field(default="megatron-core", description="Software stack whose default calibration applies.")
    factors: dict[Name, Annotated[float, Field(gt=0, le=100)]] = Field(
        default={}, max_length=32, description="Factors on calibration parameters, as POST /calibrations answers them."
    )


class HomogeneousCluster(Input):
    """A given number of one GPU type."""

    mode: Literal["homogeneous"] = "homogeneous"
    gpu: Name = Field(description="Name or alias in GET /catalog/gpus.", examples=["a100-80gb-sxm"])
    count: Count = Field(description="GPUs.", examples=[64])
    links: LinkOverrides = LinkOverrides()


MOST_TYPES = 5
"""GPU types of one mix: their orders along the pipeline grow as the factorial."""


class HeterogeneousCluster(Input):
    """A total to be met from several GPU types, each up to its limit."""

    mode: Literal["heterogeneous"]
    total: Count
    limits: dict[Name, Count] = Field(
        min_length=1, max_length=MOST_TYPES, examples=[{"a800-80gb-sxm": 512, "h100-80gb-sxm": 512}]
    )
    links: dict[Name, LinkOverrides] = Field(default={}, description="Overrides by GPU type.")
    inter_type_gbps: _Rate | None = Field(
        default=None, description="Network per GPU between unlike types; default: the slower one's."
    )

    @field_validator("limits", mode="before")
    @classmethod
    def _few(cls, limits: Any) -> Any:
        if isinstance(limits, dict) and len(limits) > MOST_TYPES:
            raise refused(f"holds {len(limits)} GPU types, of at most {MOST_TYPES}", "leave out those with fewest GPUs")
        return limits

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if sum(self.limits.values()) < self.total:
            raise refused(
                f"limits sum to {sum(self.limits.values())}, below total {self.total}", "raise a limit or lower total"
            )
        return self


class CostCluster(Input):
    """Any number up to a maximum of each of several GPU types, under a money limit and a deadline."""

    mode: Literal["cost"]
    gpus: Annotated[list[Name], Field(min_length=1, max_length=16)]
    max_count: Count
    max_money: Annotated[float, Field(gt=0, le=1e15)] | None = Field(
        default=None, description="US dollars for the whole training."
    )
    deadline_hours: Annotated[float, Field(gt=0, le=1e7)] | None = None
    prices: dict[Name, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default={},
        description="US dollars per GPU-hour by GPU type; overrides the catalogue.",
    )
    cloud: Name | None = None
    region: Name | None = None
    spot: bool = False
    links: dict[Name, LinkOverrides] = Field(default={}, description="Overrides by GPU type.")


Cluster = Annotated[HomogeneousCluster | HeterogeneousCluster | CostCluster, Field(discriminator="mode")]
"""A cluster in one of the three modes."""

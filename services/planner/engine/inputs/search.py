"""How to search: which dimensions, which rules, how many answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from planner.engine.inputs.base import Input, Text
from planner.engine.inputs.strategy import (
    Attention,
    ContextComm,
    Degree,
    PipelineSplit,
    RecomputeModule,
    Schedule,
    Sharding,
)
from planner.engine.inputs.workload import Precision

Objective = Literal["throughput", "time", "money"]
_Degrees = Annotated[list[Degree], Field(min_length=1, max_length=64)]
_Flags = Annotated[list[bool], Field(min_length=1, max_length=2)]
Rule = Annotated[Text, StringConstraints(min_length=1, max_length=2000)]


class Space(Input):
    """The values each dimension may take; a dimension left out takes every value that makes sense."""

    tensor_parallel: _Degrees | None = None
    context_parallel: _Degrees | None = None
    pipeline_parallel: _Degrees | None = None
    virtual_pipeline: _Degrees | None = None
    expert_parallel: _Degrees | None = None
    expert_tensor_parallel: _Degrees | None = None
    micro_batch_size: _Degrees | None = None
    schedule: Annotated[list[Schedule], Field(min_length=1)] | None = None
    pipeline_split: Annotated[list[PipelineSplit], Field(min_length=1)] | None = None
    sequence_parallel: _Flags | None = None
    sharding: Annotated[list[Sharding], Field(min_length=1)] | None = None
    recompute: Annotated[list[Literal["none", "selective", "full"]], Field(min_length=1)] | None = None
    recompute_modules: list[RecomputeModule] | None = Field(
        default=None, description="Modules that selective recompute may pick."
    )
    activation_offload: _Flags | None = None
    optimizer_offload: (
        Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=16)] | None
    ) = None
    tp_overlap: _Flags | None = None
    p2p_overlap: _Flags | None = None
    context_comm: Annotated[list[ContextComm], Field(min_length=1)] | None = None
    grad_reduce_overlap: _Flags | None = None
    param_gather_overlap: _Flags | None = None
    attention: Annotated[list[Attention], Field(min_length=1)] | None = None
    precision: Annotated[list[Precision], Field(min_length=1)] | None = None


class SearchOptions(Input):
    """How to search."""

    space: Space = Space()
    rules: Annotated[list[Rule], Field(max_length=64)] = Field(
        default=[],
        description="Expressions every strategy must satisfy.",
        examples=[["tensor_parallel <= 8", "recompute != 'full' or micro_batch_size == 1"]],
    )
    explain: bool = Field(
        default=False,
        description="Also say what limits the best plan, and what more nodes, memory or faster links would gain.",
    )
    top_k: Annotated[int, Field(ge=1, le=100)] = 5
    method: Literal["bounded", "exhaustive"] = Field(
        default="bounded",
        description="`bounded` skips what a proven lower bound excludes; `exhaustive` prices everything. Same answer.",
    )
    gap: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Stop as soon as nothing left can beat the answer by more than this fraction; 0: exact.",
    )
    time_limit_seconds: Annotated[float, Field(gt=0, le=86_400)] | None = Field(
        default=None,
        description="Stop then, once anything was found; `optimality` states the gap proven by that time.",
    )

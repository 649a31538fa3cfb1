"""What a search or an estimate answers. Times in seconds, memory in bytes, money in US dollars."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from planner.engine.inputs.strategy import Strategy


class Output(BaseModel):
    """An immutable answer."""

    model_config = ConfigDict(frozen=True)


class Breakdown(Output):
    """Where an iteration's seconds go; the parts sum to `iteration_seconds`."""

    compute: float = Field(description="Operators of the slowest stage, recomputation included, and fixed overhead.")
    tp: float = Field(description="Tensor-parallel traffic that nothing hides.")
    cp: float = Field(description="Context-parallel traffic that nothing hides.")
    ep: float = Field(description="Expert dispatch and combine.")
    pp_bubble: float = Field(description="Filling and draining the pipeline, and waiting for a slower stage.")
    pp_comm: float = Field(description="Transfers between stages.")
    dp: float = Field(description="Gradient reduction and weight gathering that nothing hides.")
    optimizer: float = Field(description="Optimizer step on the GPU.")
    offload: float = Field(description="Host transfers and host optimizer steps.")


class StageMemory(Output):
    """Bytes one GPU of a pipeline stage holds at its peak."""

    stage: int
    layers: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    buffers: float
    peak: float


class Memory(Output):
    """Memory of every stage against what the GPU has."""

    capacity: float
    peak: float
    stages: list[StageMemory]


class Reason(Output):
    """Why a strategy is infeasible, and the nearest change that would help."""

    rule: str
    message: str
    bytes_over: float | None = None
    remedy: str | None = None


class Estimate(Output):
    """The price of one strategy."""

    feasible: bool
    reasons: list[Reason]
    iteration_seconds: float
    tokens_per_second: float
    tokens_per_second_per_gpu: float
    model_flops_utilization: float = Field(
        description="Model FLOPs, causal and without recomputation, over 16-bit peak."
    )
    memory: Memory
    breakdown: Breakdown
    hours: float | None = Field(default=None, description="Time to train on workload.tokens.")


class Money(Output):
    """What training on workload.tokens costs."""

    usd: float
    usd_per_hour: float
    hours: float
    gpus: int
    prices: dict[str, float]


class StageAssignment(Output):
    """A run of pipeline stages on one GPU type."""

    gpu: str
    stages: int
    layers: list[int]


class Candidate(Output):
    """One strategy of the answer."""

    gpu: str
    gpus: int
    strategy: Strategy
    estimate: Estimate
    cost: Money | None = None
    assignment: list[StageAssignment] | None = None


class SearchSummary(Output):
    """How the answer was found. Counts are strategies; enumerated = after_rules + everything in `dropped`."""

    enumerated: int
    after_rules: int
    after_memory: int
    evaluated: int = Field(description="Priced one by one; the rest is excluded by a lower bound.")
    seconds: float = Field(description="Of the search, of all its shares where it was split.")
    optimality: str = Field(
        description="`exact`, or `bounded(gap)`: no strategy beats the best by more than that fraction.",
        examples=["exact"],
    )
    dropped: dict[str, int] = Field(description="Strategies refused, by the first rule that refuses them.")
    dimensions: dict[str, int] = Field(description="Values per dimension of the space.")


class Sensitivity(Output):
    """The optimum of the question with one thing changed."""

    change: str
    gpus: int
    iteration_seconds: float
    speedup: float = Field(description="Of an iteration, over the best plan's.")


class Insight(Output):
    """What limits the best plan, and what would help."""

    shares: dict[str, float] = Field(description="Share of the iteration by cause, largest first.")
    memory_used: float = Field(description="Share of the GPU's memory the fullest stage uses.")
    sensitivities: list[Sensitivity]


class Term(Output):
    """One quantity that an estimate is made of."""

    group: str
    name: str
    value: float
    unit: str
    meaning: str


class PlanResult(Output):
    """The answer of a search. `best` is None when nothing is feasible; `reasons` then says why, likeliest first."""

    mode: Literal["homogeneous", "heterogeneous", "cost"]
    model: str
    parameters: int
    best: Candidate | None
    candidates: list[Candidate]
    frontier: list[Candidate]
    search: SearchSummary
    reasons: list[Reason]
    insight: Insight | None = Field(
        default=None, description="With search.explain: limits and sensitivities of the best plan."
    )
    engine_version: str
    catalog_digest: str

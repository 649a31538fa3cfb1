"""What the planner answers: strategies, what each is estimated to do, and how the search went. All sizes are bytes."""

from __future__ import annotations

from pydantic import Field

from astrolabe.models import Answered, JobState, Many


class Strategy(Answered):
    """A complete parallel strategy, in Megatron-Core's terms."""

    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    virtual_pipeline: int | None = None
    data_parallel: int | None = None
    context_parallel: int = 1
    expert_parallel: int = 1
    expert_tensor_parallel: int = 1
    micro_batch_size: int = 1
    schedule: str | None = None
    sequence_parallel: bool = False
    sharding: str = "none"
    recompute: str = "none"
    recompute_modules: Many[str] = ()
    recompute_layers: int | None = None
    activation_offload: bool = False
    optimizer_offload: bool = False


class StageMemory(Answered):
    """Bytes that one pipeline stage needs on each of its GPUs."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    buffers: float = 0.0
    peak: float = 0.0
    capacity: float | None = Field(default=None, description="Usable bytes of the stage's GPU.")


class Estimate(Answered):
    """What a strategy is estimated to do. ``breakdown`` is in seconds; ``reasons`` say why it is not feasible."""

    iteration_seconds: float | None = None
    tokens_per_second_per_gpu: float | None = None
    model_flops_utilization: float | None = None
    memory: Many[StageMemory] = ()
    breakdown: dict[str, float] = Field(default_factory=dict)
    feasible: bool = True
    reasons: Many[str] = ()

    @property
    def fullest_stage(self) -> StageMemory | None:
        """The stage that decides whether the strategy fits."""
        return max(self.memory, key=lambda stage: stage.peak, default=None)


class Cost(Answered):
    """Time and US dollars of the whole training; known when the workload says how many tokens."""

    money_usd: float | None = None
    hours: float | None = None


class Candidate(Answered):
    """A strategy and what it is estimated to do and to cost."""

    strategy: Strategy
    estimate: Estimate
    cost: Cost | None = None


class SearchSummary(Answered):
    """How many strategies there were after each stage; ``dropped`` counts by the rule that refused them."""

    enumerated: int
    after_rules: int
    after_memory: int
    evaluated: int
    seconds: float
    optimality: str | None = None
    dropped: dict[str, int] = Field(default_factory=dict)


class Plan(JobState):
    """A job of the planner. The result is empty until the job has ended; ``candidates`` are best first."""

    best: Candidate | None = None
    candidates: Many[Candidate] = ()
    frontier: Many[Candidate] = ()
    search: SearchSummary | None = None
    reasons: Many[str] = ()
    cached: bool | None = None


class EstimateReply(Answered):
    """One estimate for each strategy, in their order."""

    estimates: Many[Estimate]

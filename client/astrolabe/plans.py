"""What the planner answers: strategies, what each is estimated to do, and how the search went. All sizes are bytes."""

from __future__ import annotations

from pydantic import Field, model_validator

from astrolabe.models import Answered, JobState, JobStatus, Many


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
    optimizer_offload: float = Field(default=0.0, description="Fraction of the optimizer's work that the host does.")
    pipeline_split: str | None = None
    context_comm: str | None = None
    tp_overlap: bool = False
    p2p_overlap: bool = False
    grad_reduce_overlap: bool = True
    param_gather_overlap: bool = True
    attention: str | None = None


class StageMemory(Answered):
    """Bytes that one GPU of a pipeline stage holds at its peak."""

    stage: int = 0
    layers: int = 0
    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    buffers: float = 0.0
    peak: float = 0.0


class Memory(Answered):
    """The fullest stage's bytes, against what the GPU has."""

    capacity: float
    peak: float
    stages: Many[StageMemory] = ()


class Reason(Answered):
    """Why something is infeasible, and the nearest change that would help."""

    rule: str = ""
    message: str
    bytes_over: float | None = None
    remedy: str | None = None


class Estimate(Answered):
    """What a strategy is estimated to do. ``breakdown`` says where an iteration's seconds go."""

    feasible: bool = True
    reasons: Many[Reason] = ()
    iteration_seconds: float
    tokens_per_second_per_gpu: float
    model_flops_utilization: float
    memory: Memory | None = None
    breakdown: dict[str, float] = Field(default_factory=dict)


class Money(Answered):
    """Time and US dollars of the whole training."""

    usd: float
    hours: float


class Candidate(Answered):
    """A strategy, what it is estimated to do and, where the tokens and the prices are known, to cost."""

    gpu: str | None = None
    gpus: int | None = None
    strategy: Strategy
    estimate: Estimate
    cost: Money | None = None


class SearchSummary(Answered):
    """How many strategies there were after each stage; ``dropped`` counts by the rule that refused them.

    ``evaluated`` were priced one by one; a lower bound excludes the other feasible ones.
    """

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
    reasons: Many[Reason] = ()

    @property
    def from_cache(self) -> bool:
        """Whether the result was at hand when the job was accepted, so that no worker ever held it."""
        return self.status is JobStatus.SUCCEEDED and self.attempt == 0


class EstimateReply(Answered):
    """One estimate for each strategy, in their order. For a single strategy the service answers the estimate itself."""

    estimates: Many[Estimate]

    @model_validator(mode="before")
    @classmethod
    def _single_is_a_list_of_one(cls, body: object) -> object:
        return {"estimates": [body]} if isinstance(body, dict) and "estimates" not in body else body

"""What the codetree API answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from codetree.engine.outcome import EpisodeResult, StopReason
from codetree.engine.tree import NodeStatus
from codetree.engine.values import ExecutionStatus
from codetree.engine.vote import DecidedBy
from kit.jobs.views import JobView


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UsageView(_View):
    """``money_usd`` is null when a price is unknown; ``estimated`` marks token counts that no endpoint reported."""

    llm_calls: int
    programs: int
    tokens: int
    input_tokens: int
    output_tokens: int
    money_usd: float | None
    estimated: bool


class ExecutionView(_View):
    """How a program ended."""

    status: ExecutionStatus
    reason: str | None
    exit_code: int | None
    signal: str | None
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    result_given: bool
    result: JsonValue
    wall_ms: float
    cpu_ms: float
    max_rss_bytes: int | None


class Node(_View):
    """One program of the tree. Paths and layers count from 1: ``2.1`` is the first child of the second root."""

    path: str
    parent: str | None
    layer: int
    model: str
    provider: str | None
    note: str | None
    prompt_variant: str
    status: NodeStatus
    thought: str
    code: str | None
    execution: ExecutionView | None
    answer: JsonValue
    error: str | None
    turns: int
    temperature: float | None = None
    duplicate_of: str | None = Field(default=None, description="The first node with the same program; it was not rerun")
    usage: UsageView


class Vote(_View):
    """One cluster of equal answers and the nodes that gave it."""

    answer: JsonValue
    count: int
    share: float
    nodes: list[str]


class PromptVariantView(_View):
    """One way of working that prompts asked for; ``evolved`` ones were written by a model."""

    name: str
    guidance: str
    evolved: bool


class Tree(_View):
    """Nodes in breadth-first order."""

    nodes: list[Node]


class SolveResult(_View):
    """The answer and where it comes from, or an honest failure: ``succeeded`` false and the best attempt named."""

    succeeded: bool
    answer: JsonValue
    decided_by: DecidedBy | None
    votes: list[Vote]
    stop_reason: StopReason
    best_attempt: str | None
    error: str | None
    providers: list[str]
    notes: list[str]
    prompt_version: str
    prompts: list[PromptVariantView]
    usage: UsageView
    tree: Tree

    @classmethod
    def from_episode(cls, result: EpisodeResult) -> SolveResult:
        """The public form of an engine's result."""
        return cls(
            succeeded=result.succeeded,
            answer=result.answer,
            decided_by=result.decided_by,
            votes=[Vote.model_validate(vote) for vote in result.votes],
            stop_reason=result.stop_reason,
            best_attempt=result.best_attempt,
            error=result.error,
            providers=list(result.providers),
            notes=list(result.notes),
            prompt_version=result.prompt_version,
            prompts=[PromptVariantView.model_validate(variant) for variant in result.prompts],
            usage=UsageView.model_validate(result.usage),
            tree=Tree(nodes=[Node.model_validate(node) for node in result.nodes]),
        )

    def answer_fields(self) -> dict[str, Any]:
        """The fields of ``SolveView``; the error is told by the job."""
        return {name: getattr(self, name) for name in SolveResult.model_fields if name not in {"succeeded", "error"}}


class SolveView(JobView):
    """An episode's job: what it came to once it has ended, and its tree as it grows.

    A job whose programs gave no answer is ``failed``; ``best_attempt`` names the node that came furthest.
    """

    answer: JsonValue = None
    decided_by: DecidedBy | None = None
    votes: list[Vote] = Field(default=[])
    stop_reason: StopReason | None = None
    best_attempt: str | None = None
    providers: list[str] = Field(default=[], description="Who wrote the programs; `offline-replay` is a recording.")
    notes: list[str] = Field(default=[])
    prompt_version: str | None = None
    prompts: list[PromptVariantView] = Field(default=[])
    usage: UsageView | None = None
    tree: Tree

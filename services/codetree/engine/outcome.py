"""What an episode came to."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from codetree.engine.exploration import PromptVariant
from codetree.engine.tree import GROWING, Node, NodeStatus
from codetree.engine.values import ExecutionStatus, Usage
from codetree.engine.vote import DecidedBy, Vote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from codetree.engine.budget import Limit


class StopReason(StrEnum):
    """Why the tree stopped growing.

    ``quorum``: enough programs agreed while others could have grown. ``all_stuck``: every program that could have grown
    repeated an earlier one. For ``codeact`` a layer is a turn.
    """

    ALL_SUCCEEDED = "all_succeeded"
    QUORUM = "quorum"
    LAYERS_EXHAUSTED = "layers_exhausted"
    ALL_STUCK = "all_stuck"
    BUDGET_MONEY_USD = "budget_money_usd"
    BUDGET_TOKENS = "budget_tokens"
    BUDGET_LLM_CALLS = "budget_llm_calls"
    BUDGET_PROGRAMS = "budget_programs"
    BUDGET_WALL_SECONDS = "budget_wall_seconds"
    PROVIDER_ERROR = "provider_error"
    EXECUTOR_ERROR = "executor_error"

    @classmethod
    def budget(cls, limit: Limit) -> StopReason:
        return cls(f"budget_{limit.value}")


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """The answer with its provenance, or an honest failure: ``succeeded`` false, no answer, and the best attempt named.

    ``votes`` hold the winning cluster first; ``nodes`` are in breadth-first order.
    """

    succeeded: bool
    answer: JsonValue
    decided_by: DecidedBy | None
    votes: tuple[Vote, ...]
    stop_reason: StopReason
    best_attempt: str | None
    error: str | None
    usage: Usage
    nodes: tuple[Node, ...]
    prompt_version: str
    prompts: tuple[PromptVariant, ...] = ()

    @property
    def providers(self) -> tuple[str, ...]:
        """Who answered, each once."""
        return tuple(sorted({node.provider for node in self.nodes if node.provider}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What readers of the answer must know, each once."""
        return tuple(sorted({node.note for node in self.nodes if node.note}))


_OUTAGES = {
    NodeStatus.EXECUTOR_ERROR: StopReason.EXECUTOR_ERROR,
    NodeStatus.MODEL_ERROR: StopReason.PROVIDER_ERROR,
}


def natural_stop(nodes: Sequence[Node], max_layers: int) -> StopReason:
    """Why a tree within its budget stopped. An outage is the reason when it left no success or nothing to grow."""
    statuses = {node.status for node in nodes}
    outage = next((reason for status, reason in _OUTAGES.items() if status in statuses), None)
    if outage and NodeStatus.SUCCEEDED not in statuses:
        return outage
    last_layer = max(node.layer for node in nodes)
    if any(node.layer == last_layer and node.status in GROWING for node in nodes):
        return StopReason.LAYERS_EXHAUSTED if last_layer >= max_layers else StopReason.ALL_STUCK
    return outage or StopReason.ALL_SUCCEEDED


def best_attempt(nodes: Iterable[Node]) -> Node | None:
    """The failure that came furthest: it ran, it answered though wrongly, it came late in the tree."""
    written = [node for node in nodes if node.code is not None]
    return max(written, key=_merit, default=None)


def _merit(node: Node) -> tuple[bool, bool, int]:
    execution = node.execution
    ran = execution is not None and execution.status is ExecutionStatus.OK
    answered = execution is not None and execution.result_given
    return ran, answered, node.layer

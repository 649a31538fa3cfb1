"""Replay: an episode run again from what was recorded, with the same result to the last bit and nobody asked.

Replies and executions come from the journal. What left neither, because a model or the executor was away or the clock
ran out, is taken from the nodes as they ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from codetree.engine.outcome import StopReason
from codetree.engine.ports import ExecutorError, LLMError, LLMErrorKind
from codetree.engine.tree import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codetree.engine.outcome import EpisodeResult
    from codetree.engine.ports import ToolHost
    from codetree.engine.tree import Node
    from codetree.engine.values import Execution, LLMCall, LLMReply, Program

_LEFT_NO_RECORD = frozenset({NodeStatus.MODEL_ERROR, NodeStatus.EXECUTOR_ERROR, NodeStatus.ABANDONED})


@dataclass(frozen=True, slots=True)
class Replay:
    """The episode that is run again, as it ended."""

    nodes: Mapping[str, Node]
    stop_reason: StopReason

    @classmethod
    def of(cls, result: EpisodeResult) -> Self:
        return cls({node.path: node for node in result.nodes}, result.stop_reason)

    def outage(self, path: str) -> Node | None:
        """The node that ended without a record, if this one did."""
        node = self.nodes.get(path)
        return node if node is not None and node.status in _LEFT_NO_RECORD else None

    def ran_out_before(self, path: str) -> bool:
        """Whether the clock kept this node from being planted."""
        return self.stop_reason is StopReason.BUDGET_WALL_SECONDS and path not in self.nodes


class NobodyLLM:
    """The model of a strict replay."""

    async def complete(self, call: LLMCall) -> LLMReply:
        message = f"no reply is recorded for node {call.key.path}, turn {call.key.turn}"
        raise LLMError(LLMErrorKind.RECORDING_MISS, message)


class NobodyExecutor:
    """The executor of a strict replay."""

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        del host
        raise ExecutorError(f"no execution is recorded for node {program.key.path}, turn {program.key.turn}")

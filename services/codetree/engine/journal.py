"""Journals that need no database: none at all, and one in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codetree.engine.events import Event
    from codetree.engine.ports import LLMFailure
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMReply, ToolOutcome, Usage


class MemoryJournal:
    """Keeps everything in this process: for library use, and the yardstick for journals that last."""

    def __init__(self) -> None:
        self.replies: dict[CallKey, LLMReply | LLMFailure] = {}
        self.tools: dict[CallKey, ToolOutcome] = {}
        self.executions: dict[CallKey, Execution] = {}
        self.nodes: dict[str, Node] = {}
        self.events: dict[str, Event] = {}

    async def recall_reply(self, key: CallKey) -> LLMReply | LLMFailure | None:
        return self.replies.get(key)

    async def record_reply(self, key: CallKey, reply: LLMReply | LLMFailure, cost: Usage) -> None:
        del cost
        self.replies[key] = reply

    async def recall_tools(self, key: CallKey) -> Mapping[str, ToolOutcome]:
        return {call.tool: outcome for call, outcome in self.tools.items() if replace(call, tool="") == key}

    async def record_tool(self, key: CallKey, outcome: ToolOutcome) -> None:
        self.tools[key] = outcome

    async def recall_execution(self, key: CallKey) -> Execution | None:
        return self.executions.get(key)

    async def record_execution(self, key: CallKey, execution: Execution) -> None:
        self.executions[key] = execution

    async def node_changed(self, node: Node) -> None:
        self.nodes[node.path] = node

    async def emit(self, event: Event) -> None:
        self.events.setdefault(event.key, event)

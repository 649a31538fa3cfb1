"""Journals that need no database: none at all, and one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMReply


class MemoryJournal:
    """Keeps everything in this process: for library use, and the yardstick for journals that last."""

    def __init__(self) -> None:
        self.replies: dict[CallKey, LLMReply] = {}
        self.executions: dict[CallKey, Execution] = {}
        self.nodes: dict[str, Node] = {}
        self.events: dict[str, Event] = {}

    async def recall_reply(self, key: CallKey) -> LLMReply | None:
        return self.replies.get(key)

    async def record_reply(self, key: CallKey, reply: LLMReply) -> None:
        self.replies[key] = reply

    async def recall_execution(self, key: CallKey) -> Execution | None:
        return self.executions.get(key)

    async def record_execution(self, key: CallKey, execution: Execution) -> None:
        self.executions[key] = execution

    async def node_changed(self, node: Node) -> None:
        self.nodes[node.path] = node

    async def emit(self, event: Event) -> None:
        self.events.setdefault(event.key, event)

"""The journal that lasts: what an episode paid for is in Postgres before the episode goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from codetree import codec, store
from codetree.engine.tree import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMReply
    from kit.worker import JobContext

_UNFINISHED = frozenset({NodeStatus.QUEUED, NodeStatus.GENERATED})


class DatabaseJournal:
    """Remembers for one attempt at a job; what earlier attempts recorded is read once, at the start.

    Every write commits only while this attempt holds the job, so an attempt that lost it leaves no trace.
    """

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._recorded = context.write(lambda session: store.recorded(session, context.job_id))
        self._finished: set[str] = set()

    async def recall_reply(self, key: CallKey) -> LLMReply | None:
        document = self._recorded.get((store.REPLY, _name(key)))
        return None if document is None else codec.load_reply(document)

    async def record_reply(self, key: CallKey, reply: LLMReply) -> None:
        await self._record(store.REPLY, key, codec.dump_reply(reply))

    async def recall_execution(self, key: CallKey) -> Execution | None:
        document = self._recorded.get((store.EXECUTION, _name(key)))
        return None if document is None else codec.load_execution(document)

    async def record_execution(self, key: CallKey, execution: Execution) -> None:
        await self._record(store.EXECUTION, key, codec.dump_execution(execution))

    async def node_changed(self, node: Node) -> None:
        document = codec.dump_node(node)
        await self._write(lambda session: store.save_node(session, self._context.job_id, node.path, document))
        if node.status not in _UNFINISHED:
            self._finished.add(node.path)
            phase = f"layer {node.layer}"
            await asyncio.to_thread(self._context.progress, phase, len(self._finished), None, "nodes")

    async def emit(self, event: Event) -> None:
        await asyncio.to_thread(self._context.emit, event.type.value, event.data, event.key)

    async def _record(self, kind: str, key: CallKey, document: codec.JsonObject) -> None:
        self._recorded[kind, _name(key)] = document
        await self._write(lambda session: store.record(session, self._context.job_id, kind, _name(key), document))

    async def _write(self, step: Callable[[Session], None]) -> None:
        await asyncio.to_thread(self._context.write, step)


def _name(key: CallKey) -> str:
    return f"{key.path}:{key.turn}"

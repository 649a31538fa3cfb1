"""The journal that lasts: what an episode paid for is in Postgres before the episode goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from codetree import codec, store
from codetree.engine.events import EventType
from codetree.engine.ports import LLMFailure
from codetree.engine.tree import NodeStatus
from codetree.metrics import NODES, TOOL_CALLS
from kit.usage import add_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMReply, ModelSpec, ToolOutcome, Usage
    from kit.worker import JobContext

_UNFINISHED = frozenset({NodeStatus.QUEUED, NodeStatus.GENERATED})


class DatabaseJournal:
    """Remembers for one attempt at a job; what earlier attempts recorded is read once, at the start.

    What is recorded between two waits for someone else is written in one transaction: before a model is asked
    (``recall_reply``) and with every event, so in particular before a program is run. Transactions of an episode follow
    one another, and each commits only while this attempt holds the job: an attempt that lost it leaves no trace.

    ``replayed`` is what another episode recorded: it is recalled like its own, and kept with it.
    """

    def __init__(self, context: JobContext, replayed: Mapping[tuple[str, str], codec.JsonObject] | None = None) -> None:
        self._context = context
        self._replayed = dict(replayed or {})
        self._recorded = context.write(lambda session: store.recorded(session, context.job_id))
        self._logged = context.write(lambda session: store.logged(session, context.job_id))
        self._finished: set[str] = set()
        self._waiting: list[Callable[[Session], None]] = []
        self._writing = asyncio.Lock()

    async def recall_reply(self, key: CallKey) -> LLMReply | LLMFailure | None:
        await self._flush()
        if (document := self._recall(store.REPLY, _name(key))) is not None:
            return codec.load_reply(document)
        document = self._recall(store.FAILURE, _name(key))
        return None if document is None else codec.load_failure(document)

    async def record_reply(self, key: CallKey, reply: LLMReply | LLMFailure, cost: Usage) -> None:
        if isinstance(reply, LLMFailure):
            self._record(store.FAILURE, _name(key), codec.dump_failure(reply))
        else:
            self._record(store.REPLY, _name(key), codec.dump_reply(reply))
        self._charge(cost)

    async def recall_tools(self, key: CallKey) -> Mapping[str, ToolOutcome]:
        prefix = f"{_name(key)}:"
        names = {name for kind, name in {**self._replayed, **self._recorded} if kind == store.TOOL}
        found = {name: self._recall(store.TOOL, name) for name in sorted(names) if name.startswith(prefix)}
        return {name.removeprefix(prefix): codec.load_tool(document) for name, document in found.items() if document}

    async def record_tool(self, key: CallKey, outcome: ToolOutcome) -> None:
        self._record(store.TOOL, f"{_name(key)}:{key.tool}", codec.dump_tool(outcome))
        self._charge(outcome.usage)
        await self._flush()

    async def recall_execution(self, key: CallKey) -> Execution | None:
        document = self._recall(store.EXECUTION, _name(key))
        return None if document is None else codec.load_execution(document)

    async def record_execution(self, key: CallKey, execution: Execution) -> None:
        self._record(store.EXECUTION, _name(key), codec.dump_execution(execution))

    async def node_changed(self, node: Node) -> None:
        document, job_id = codec.dump_node(node), self._context.job_id
        self._waiting.append(lambda session: store.save_node(session, job_id, node.path, document))
        if node.status not in _UNFINISHED:
            self._finished.add(node.path)

    async def emit(self, event: Event) -> None:
        if event.key not in self._logged:
            self._logged.add(event.key)
            if not self._replayed:
                _count(event)
            job_id, name = self._context.job_id, event.type.value
            self._waiting.append(lambda session: store.log_event(session, job_id, name, event.data, event.key))
        await self._flush()
        layer = event.data.get("layer")
        if layer is not None and self._finished:
            phase = f"layer {layer}"
            await asyncio.to_thread(self._context.progress, phase, len(self._finished), None, "nodes")

    def models(self, now: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
        """The episode's models with the prices they had when it began; the first time, those they have ``now``."""
        document = self._recall(store.MODELS, "pool")
        if document is None:
            document = codec.dump_models(now)
            self._record(store.MODELS, "pool", document)
        return codec.load_models(document)

    def _recall(self, kind: str, name: str) -> codec.JsonObject | None:
        document = self._recorded.get((kind, name))
        if document is None and (kind, name) in self._replayed:
            document = self._replayed[kind, name]
            self._record(kind, name, document)
        return document

    def _record(self, kind: str, name: str, document: codec.JsonObject) -> None:
        job_id = self._context.job_id
        self._recorded[kind, name] = document
        self._waiting.append(lambda session: store.record(session, job_id, kind, name, document))

    def _charge(self, cost: Usage) -> None:
        job_id, money_usd = self._context.job_id, cost.money_usd or 0.0
        if cost.tokens or money_usd:
            self._waiting.append(lambda session: add_usage(session, job_id, cost.tokens, money_usd))

    async def _flush(self) -> None:
        """Write what waits. Whoever finds nothing waiting still waits for the write that is under way."""
        async with self._writing:
            steps, self._waiting = self._waiting, []
            if steps:
                await asyncio.to_thread(self._context.write, lambda session: _run(steps, session))


def _count(event: Event) -> None:
    if event.type is EventType.NODE_FINISHED:
        NODES.labels(event.data["status"]).inc()
    elif event.type is EventType.TOOL_CALLED:
        TOOL_CALLS.labels(event.data["function"], "error" if event.data["error"] else "ok").inc()


def _run(steps: list[Callable[[Session], None]], session: Session) -> None:
    for step in steps:
        step(session)


def _name(key: CallKey) -> str:
    return f"{key.path}:{key.turn}"

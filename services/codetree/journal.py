"""The journal that lasts: what an episode paid for is in Postgres before the episode goes on."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from codetree import codec, store
from codetree.engine.events import EventType
from codetree.engine.ports import LLMFailure
from codetree.engine.tree import NodeStatus
from codetree.metrics import NODES, TOOL_CALLS
from codetree.page import Page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMReply, ModelSpec, ToolOutcome, Usage
    from kit.worker import JobContext

_UNFINISHED = frozenset({NodeStatus.QUEUED, NodeStatus.GENERATED})
_PROGRESS_INTERVAL_SECONDS = 1.0


class DatabaseJournal:
    """Remembers for one attempt at a job; what earlier attempts recorded is read once, at the start.

    What is recorded between two waits for someone else is one page, written at once: before a model is asked
    (``recall_reply``), before a program is told what it asked (``record_tool``), and with every event, so in particular
    before a program is run. Pages of an episode follow one another, and each is written only while this attempt holds
    the job: an attempt that lost it leaves no trace.

    ``replayed`` is what another episode recorded: it is recalled like its own, and kept with it.
    """

    def __init__(self, context: JobContext, replayed: Mapping[tuple[str, str], codec.JsonObject] | None = None) -> None:
        self._context = context
        self._replayed = dict(replayed or {})
        self._recorded, self._logged = context.write(lambda session: store.known(session, context.job_id))
        self._finished: set[str] = set()
        self._told, self._told_at = ("", 0), float("-inf")
        self._page = Page()
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
        self._page.charge(cost)

    async def recall_tools(self, key: CallKey) -> Mapping[str, ToolOutcome]:
        prefix = f"{_name(key)}:"
        names = {name for kind, name in {**self._replayed, **self._recorded} if kind == store.TOOL}
        found = {name: self._recall(store.TOOL, name) for name in sorted(names) if name.startswith(prefix)}
        return {name.removeprefix(prefix): codec.load_tool(document) for name, document in found.items() if document}

    async def record_tool(self, key: CallKey, outcome: ToolOutcome) -> None:
        self._record(store.TOOL, f"{_name(key)}:{key.tool}", codec.dump_tool(outcome))
        self._page.charge(outcome.usage)
        await self._flush()

    async def recall_execution(self, key: CallKey) -> Execution | None:
        document = self._recall(store.EXECUTION, _name(key))
        return None if document is None else codec.load_execution(document)

    async def record_execution(self, key: CallKey, execution: Execution) -> None:
        self._record(store.EXECUTION, _name(key), codec.dump_execution(execution))

    async def node_changed(self, node: Node) -> None:
        self._page.nodes[node.path] = codec.dump_node(node)
        if node.status not in _UNFINISHED:
            self._finished.add(node.path)

    async def emit(self, event: Event) -> None:
        if event.key not in self._logged:
            self._logged.add(event.key)
            self._page.log(event.type.value, event.data, event.key)
            if not self._replayed:
                _count(event)
        if isinstance(layer := event.data.get("layer"), int):
            self._tell(f"layer {layer}")
        await self._flush()

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
        self._recorded[kind, name] = document
        self._page.record(kind, name, document)

    def _tell(self, phase: str) -> None:
        """Put the count of finished nodes on the page: at each new phase, and now and then within one."""
        now, told = time.monotonic(), (phase, len(self._finished))
        if told == self._told or not self._finished:
            return
        if phase == self._told[0] and now - self._told_at < _PROGRESS_INTERVAL_SECONDS:
            return
        self._told, self._told_at = told, now
        self._page.tell({"phase": phase, "completed": len(self._finished), "total": None, "unit": "nodes"})

    async def _flush(self) -> None:
        """Write what waits. Whoever finds nothing waiting still waits for the write that is under way."""
        async with self._writing:
            if self._page.is_blank:
                return
            page, self._page = self._page, Page()
            await asyncio.to_thread(self._write, page)

    def _write(self, page: Page) -> None:
        self._context.check()
        with self._context.engine.connect() as connection:
            store.write_page(connection.execution_options(isolation_level="AUTOCOMMIT"), self._context.held, page)


def _count(event: Event) -> None:
    if event.type is EventType.NODE_FINISHED:
        NODES.labels(event.data["status"]).inc()
    elif event.type is EventType.TOOL_CALLED:
        TOOL_CALLS.labels(event.data["function"], "error" if event.data["error"] else "ok").inc()


def _name(key: CallKey) -> str:
    return f"{key.path}:{key.turn}"

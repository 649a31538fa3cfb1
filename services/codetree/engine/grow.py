"""Grow one node: ask for a program, ask once more if there is none, run it, judge it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from codetree.engine.budget import failure_cost, reply_cost, worst_case
from codetree.engine.events import Event, EventType
from codetree.engine.exploration import Prompts
from codetree.engine.fingerprint import fingerprint
from codetree.engine.parsing import parse_reply
from codetree.engine.policy import PolicyKind
from codetree.engine.ports import ExecutorError, LLMError, LLMFailure
from codetree.engine.prompts import opening, repair, repair_bytes_bound
from codetree.engine.runs import SharedRuns
from codetree.engine.tree import Node, NodeStatus
from codetree.engine.values import CallKey, LLMCall, LLMReply, Program, Step, Usage
from codetree.engine.verdict import judge

if TYPE_CHECKING:
    from pydantic import JsonValue

    from codetree.engine.ports import LLM, Executor, Journal
    from codetree.engine.replay import Replay
    from codetree.engine.spec import EpisodeSpec
    from codetree.engine.toolbox import Toolbox
    from codetree.engine.values import Execution, Message, Price

_MAX_TURNS = 2
_MAX_TOLD_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Seedling:
    """A node that may grow: where, from which ancestors (root first), and whether its budget allows a repair turn."""

    path: str
    ancestors: tuple[Node, ...] = ()
    may_repair: bool = False


@dataclass(frozen=True, slots=True)
class Grower:
    """Grows nodes of one episode through the ports. They may grow concurrently; they share ``runs`` and ``toolbox``."""

    spec: EpisodeSpec
    llm: LLM
    executor: Executor
    journal: Journal
    toolbox: Toolbox
    prompts: Prompts = field(default_factory=Prompts)
    runs: SharedRuns = field(default_factory=SharedRuns)
    replay: Replay | None = None

    def first_turn_cost(self, seedling: Seedling) -> Usage:
        """The most that a node without a repair turn can cost."""
        call = self._call(seedling.path, 1, self._opening(seedling))
        return worst_case(call, self.spec.model_for(seedling.path).price, programs=1)

    def repair_cost(self, seedling: Seedling) -> Usage:
        """The most that its repair turn can add."""
        call = self._call(seedling.path, 2, self._opening(seedling))
        price = self.spec.model_for(seedling.path).price
        return worst_case(call, price, extra_input_bytes=repair_bytes_bound())

    def plant(self, seedling: Seedling) -> Node:
        """The node before anything is known of it."""
        path = seedling.path
        return Node(
            path=path,
            model=self.spec.model_for(path).name,
            prompt_variant=self.prompts.variant_for(path).name,
            temperature=self.spec.temperature_for(path),
        )

    async def grow(self, seedling: Seedling) -> Node:
        """The finished node. Outages end the node, never the episode; what the journal raises ends the episode."""
        node = self.replay.outage(seedling.path) if self.replay else None
        if node is None:
            node = await self._generate(seedling)
        if node.status is NodeStatus.GENERATED:
            node = await self._run(node, seedling)
        await self.journal.node_changed(node)
        await self.journal.emit(_event(EventType.NODE_FINISHED, node))
        return node

    async def _generate(self, seedling: Seedling) -> Node:
        node = self.plant(seedling)
        messages = self._opening(seedling)
        turns = _MAX_TURNS if seedling.may_repair else 1
        for turn in range(1, turns + 1):
            call = self._call(seedling.path, turn, messages)
            try:
                reply = await self.reply(call, self.spec.model_for(seedling.path).price)
            except LLMError as error:
                return self._without_reply(node, call, error)
            parsed = parse_reply(reply.text, cut_off=reply.finish_reason == "length")
            node = self._with_reply(node, reply, parsed.thought)
            if parsed.code is not None:
                shared = self.spec.policy.deduplicate and all(tool.is_pure for tool in self.spec.tools)
                mark = fingerprint(parsed.code) if shared else None
                return replace(node, status=NodeStatus.GENERATED, code=parsed.code, error=None, fingerprint=mark)
            problem = parsed.problem or "it holds no program"
            node = replace(node, status=NodeStatus.MALFORMED, error=f"the reply can't be run: {problem}")
            messages = repair(messages, reply.text, problem)
        return node

    async def _run(self, node: Node, seedling: Seedling) -> Node:
        program = self._program(node, seedling)
        try:
            execution = await self._execution(node, program)
        except ExecutorError as error:
            usage = node.usage + await self.toolbox.close(program.key)
            return replace(node, status=NodeStatus.EXECUTOR_ERROR, error=str(error), usage=usage)
        ran = replace(node, usage=node.usage + Usage(programs=1) + execution.tool_usage)
        is_step = self.spec.policy.kind is PolicyKind.CODEACT
        return judge(ran, execution, self.spec.answer_format, is_step=is_step)

    def _program(self, node: Node, seedling: Seedling) -> Program:
        is_step = self.spec.policy.kind is PolicyKind.CODEACT
        ran = [
            Step(CallKey(step.path, step.turns), step.code)
            for step in seedling.ancestors
            if step.execution is not None and step.code is not None
        ]
        return Program(
            key=CallKey(node.path, node.turns),
            code=node.code or "",
            tools=self.spec.tools,
            wall_seconds=self.spec.policy.program_wall_seconds,
            session="steps" if is_step else None,
            history=tuple(ran) if is_step else (),
        )

    def _opening(self, seedling: Seedling) -> tuple[Message, ...]:
        return opening(self.spec, seedling.path, seedling.ancestors, self.prompts.variant_for(seedling.path))

    async def _execution(self, node: Node, program: Program) -> Execution:
        execution = await self.journal.recall_execution(program.key)
        if execution is None:
            await self.journal.node_changed(node)
            await self.journal.emit(_event(EventType.NODE_GENERATED, node))
            execution = await self.runs.run(node.fingerprint, lambda: self._executed(program))
            await self.journal.record_execution(program.key, execution)
        self.runs.remember(node.fingerprint, execution)
        return execution

    async def _executed(self, program: Program) -> Execution:
        execution = await self.executor.execute(program, self.toolbox)
        return replace(execution, tool_usage=await self.toolbox.close(program.key))

    async def reply(self, call: LLMCall, price: Price | None) -> LLMReply:
        """The recorded reply, or a new one that is recorded, as is the lack of one. Raises ``LLMError``."""
        known = await self.journal.recall_reply(call.key)
        if isinstance(known, LLMFailure):
            raise known.error()
        if known is not None:
            return known
        try:
            reply = await self.llm.complete(call)
        except LLMError as error:
            cost = failure_cost(call, price, may_be_billed=error.may_be_billed)
            await self.journal.record_reply(call.key, LLMFailure.of(error), cost)
            raise
        await self.journal.record_reply(call.key, reply, reply_cost(reply, price))
        return reply

    def _call(self, path: str, turn: int, messages: tuple[Message, ...]) -> LLMCall:
        key = CallKey(path, turn)
        return LLMCall(
            key=key,
            model=self.spec.model_for(path).name,
            messages=messages,
            max_output_tokens=self.spec.policy.max_output_tokens,
            temperature=self.spec.temperature_for(path),
            seed=self.spec.seed_for(key),
        )

    def _with_reply(self, node: Node, reply: LLMReply, thought: str) -> Node:
        usage = reply_cost(reply, self.spec.model_for(node.path).price)
        return replace(
            node,
            thought=thought or node.thought,
            turns=node.turns + 1,
            provider=reply.provider,
            note=reply.note,
            usage=node.usage + usage,
        )

    def _without_reply(self, node: Node, call: LLMCall, error: LLMError) -> Node:
        price = self.spec.model_for(node.path).price
        used = failure_cost(call, price, may_be_billed=error.may_be_billed)
        message, usage = f"{error.kind.value}: {error}", node.usage + used
        return replace(node, status=NodeStatus.MODEL_ERROR, error=message, turns=node.turns + 1, usage=usage)


def _event(kind: EventType, node: Node) -> Event:
    data: dict[str, JsonValue] = {
        "path": node.path,
        "layer": node.layer,
        "status": node.status.value,
        "model": node.model,
        "error": node.error,
        "answer": _told(node.answer),
        "tokens": node.usage.tokens,
    }
    return Event(kind, f"{kind.value}:{node.path}", data)


def _told(answer: JsonValue) -> JsonValue:
    """An answer for those who watch: a long one is cut, since the node itself holds the whole."""
    text = json.dumps(answer, ensure_ascii=False)
    return answer if len(text) <= _MAX_TOLD_CHARACTERS else f"{text[:_MAX_TOLD_CHARACTERS]}..."

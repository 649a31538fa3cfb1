"""A finished episode with what training data is made of: what each node was told, and what it replied."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from codetree.engine.answers import AnswerFormat, AnswerType, canonical, same
from codetree.engine.exploration import SEED
from codetree.engine.prompts import opening
from codetree.engine.spec import EpisodeSpec
from codetree.engine.tree import NodeStatus, parent_of
from codetree.engine.values import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codetree.engine.outcome import EpisodeResult
    from codetree.engine.tree import Node
    from codetree.engine.values import LLMReply, Message
    from codetree.schemas import SolveRequest

GOLD_LABEL = "gold"
"""The label of a request that holds the right answer, as JSON or as plain text."""


@dataclass(frozen=True)
class Finished:
    """``replies`` are the recorded ones, by (node path, turn)."""

    job_id: str
    request: SolveRequest
    result: EpisodeResult
    replies: Mapping[tuple[str, int], LLMReply] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> dict[str, Node]:
        return {node.path: node for node in self.result.nodes}

    @cached_property
    def group_id(self) -> str:
        """The same for every episode of the same task with the same tools: the unit of splits and of advantage."""
        tools = [tool.model_dump(mode="json") for tool in self.request.tools]
        text = json.dumps([self.request.task, tools], sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]

    def prompt(self, node: Node) -> tuple[Message, ...]:
        """What the node was told at its first turn: it follows from the request, the tree and the prompts."""
        variants = {variant.name: variant for variant in self.result.prompts}
        return opening(self._spec, node.path, self._ancestors(node.path), variants.get(node.prompt_variant, SEED))

    def task_prompt(self) -> tuple[Message, ...]:
        """The prompt that all nodes have in common: the task, told as the seed prompt tells it."""
        return opening(self._spec, "1", ())

    def completion(self, node: Node) -> str:
        """The reply that held the node's program, as the model wrote it; put together again if it was not recorded."""
        reply = self.replies.get((node.path, node.turns))
        if reply is not None:
            return reply.text
        return f"<thought>\n{node.thought}\n</thought>\n<execute>\n{node.code or ''}\n</execute>"

    def vote_share(self, node: Node) -> float:
        """The share of the votes that the node's answer got; 0 for a node without an answer."""
        return next((vote.share for vote in self.result.votes if node.path in vote.nodes), 0.0)

    def in_majority(self, node: Node) -> bool:
        """Whether the node's answer is the episode's. A majority is not the truth."""
        return bool(self.result.votes) and node.path in self.result.votes[0].nodes

    def is_gold(self, node: Node) -> bool | None:
        """Whether the node's answer is the one in the request's label; ``None`` when there is no such label."""
        text = self.request.labels.get(GOLD_LABEL)
        if text is None:
            return None
        form = self._spec.answer_format
        right = same(canonical(node.answer, form), canonical(text, form), form.tolerance)
        return node.status is NodeStatus.SUCCEEDED and right

    @cached_property
    def _spec(self) -> EpisodeSpec:
        form = self.request.answer_format
        return EpisodeSpec(
            task=self.request.task,
            models=(ModelSpec("any"),),
            policy=self.request.policy.to_policy(),
            tools=tuple(tool.to_tool() for tool in self.request.tools),
            answer_format=AnswerFormat(AnswerType(form.type), form.tolerance),
        )

    def _ancestors(self, path: str) -> tuple[Node, ...]:
        parent = parent_of(path)
        return (*self._ancestors(parent), self.nodes[parent]) if parent else ()

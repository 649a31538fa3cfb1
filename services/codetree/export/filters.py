"""Which episodes and nodes go into an export, and what makes a node good."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from codetree.engine.tree import NodeStatus

if TYPE_CHECKING:
    from codetree.engine.tree import Node
    from codetree.export.episode import Finished


class LabelSource(StrEnum):
    """Whose word makes a node good: its execution, the vote, or the right answer in the request's label ``gold``."""

    EXECUTED = "executed"
    MAJORITY = "majority"
    GOLD = "gold"


class Split(StrEnum):
    """Parts of the data. A task is in one of them with all its episodes and nodes."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Filters(BaseModel):
    """``held_out`` is the share of tasks in each of validation and test."""

    model_config = ConfigDict(frozen=True)

    label_source: LabelSource = LabelSource.EXECUTED
    verified: bool = Field(default=True, description="sft and atif: only what the label source calls good")
    deduplicate: bool = Field(default=True, description="one node of each program in a task")
    split: Split | None = None
    held_out: float = Field(default=0.1, ge=0, le=0.5)
    max_tokens: int | None = Field(default=None, ge=1, description="of a node's prompts and replies")

    def takes(self, episode: Finished) -> bool:
        """Whether the episode's task is in the split that is asked for."""
        return self.split is None or self.split is split_of(episode.group_id, self.held_out)

    def nodes(self, episode: Finished, seen: set[tuple[str, str]]) -> list[Node]:
        """The nodes with a program that pass; ``seen`` holds the programs of the export so far."""
        return [node for node in episode.result.nodes if self._passes(episode, node, seen)]

    def _passes(self, episode: Finished, node: Node, seen: set[tuple[str, str]]) -> bool:
        if node.code is None or node.execution is None:
            return False
        if self.max_tokens is not None and node.usage.tokens > self.max_tokens:
            return False
        if self.label_source is LabelSource.GOLD and episode.is_gold(node) is None:
            return False
        key = (episode.group_id, node.fingerprint or hashlib.sha256(node.code.encode()).hexdigest())
        if self.deduplicate and key in seen:
            return False
        seen.add(key)
        return True

    def is_good(self, episode: Finished, node: Node) -> bool:
        """Whether the label source calls the node good."""
        match self.label_source:
            case LabelSource.EXECUTED:
                return node.status is NodeStatus.SUCCEEDED
            case LabelSource.MAJORITY:
                return episode.in_majority(node)
            case LabelSource.GOLD:
                return episode.is_gold(node) is True


def split_of(group_id: str, held_out: float) -> Split:
    """The split of a task: the same in every export, whatever else is in it."""
    place = int.from_bytes(hashlib.sha256(f"split/{group_id}".encode()).digest()[:8], "big") / 2**64
    if place < held_out:
        return Split.TEST
    return Split.VALIDATION if place < 2 * held_out else Split.TRAIN

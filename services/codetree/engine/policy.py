"""How a tree grows. ``program`` and ``programs`` are trees of one layer; ``codeact`` is a chain of steps."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict, Unpack

from pydantic.dataclasses import dataclass

from codetree.engine.exploration import Exploration
from codetree.engine.tree import GROWING, Node, child_path, root_path

if TYPE_CHECKING:
    from collections.abc import Iterable


class Generation(TypedDict, total=False):
    """How every program of a policy is written and run."""

    temperature: float | None
    max_output_tokens: int
    program_wall_seconds: float
    exploration: Exploration


class PolicyKind(StrEnum):
    """The policies a request may name."""

    TREE = "tree"
    PROGRAM = "program"
    PROGRAMS = "programs"
    CODEACT = "codeact"


@dataclass(frozen=True, slots=True)
class TreePolicy:
    """Breadth-first growth: every failed node of a layer gets ``branching`` children, until ``max_layers``.

    The defaults are the paper's three children and three layers (arXiv 2412.15305, secondary sources); the paper leaves
    the number of roots open. Successful nodes stop growing; their siblings do not stop because of them, unless
    ``quorum`` equal answers are asked to be enough. Programs that repeat an earlier one are not run again
    (``deduplicate``) but still expanded, unless ``expand_duplicates`` is off.
    """

    kind: PolicyKind = PolicyKind.TREE
    root_width: int = 3
    branching: int = 3
    max_layers: int = 3
    temperature: float | None = 0.7
    max_output_tokens: int = 2048
    program_wall_seconds: float = 30.0
    exploration: Exploration = field(default_factory=Exploration)
    quorum: int | None = None
    deduplicate: bool = True
    expand_duplicates: bool = True

    def roots(self) -> list[str]:
        return [root_path(index) for index in range(1, self.root_width + 1)]

    def next_layer(self, layer: int, nodes: Iterable[Node]) -> list[str]:
        """Paths to grow after ``layer``, in breadth-first order; ``nodes`` are that layer's, in the same order."""
        if layer >= self.max_layers:
            return []
        growing = (node for node in nodes if node.status in GROWING and self._may_expand(node))
        return [child_path(node.path, index) for node in growing for index in range(1, self.branching + 1)]

    def _may_expand(self, node: Node) -> bool:
        return self.expand_duplicates or node.duplicate_of is None

    @property
    def max_programs(self) -> int:
        """Nodes of the full tree, when every program fails."""
        return sum(self.root_width * self.branching**depth for depth in range(self.max_layers))


def one_program(**generation: Unpack[Generation]) -> TreePolicy:
    """One CodeProgram, one turn."""
    return TreePolicy(kind=PolicyKind.PROGRAM, root_width=1, max_layers=1, **generation)


def many_programs(count: int, **generation: Unpack[Generation]) -> TreePolicy:
    """``count`` independent programs and a vote: the cost-matched baseline of a tree."""
    return TreePolicy(kind=PolicyKind.PROGRAMS, root_width=count, max_layers=1, **generation)


def code_actions(max_turns: int, **generation: Unpack[Generation]) -> TreePolicy:
    """CodeAct (arXiv 2402.01030): short actions in one session, each seeing what the ones before printed."""
    return TreePolicy(
        kind=PolicyKind.CODEACT, root_width=1, branching=1, max_layers=max_turns, deduplicate=False, **generation
    )

"""What codetree answers: an answer, the vote that chose it, and the tree of programs it comes from."""

from __future__ import annotations

from pydantic import Field, JsonValue

from astrolabe.models import Answered, JobState, Many


class Usage(Answered):
    """What was spent. ``money_usd`` is None when a price is unknown, which is not the same as free."""

    llm_calls: int = 0
    programs: int = 0
    tokens: int = 0
    money_usd: float | None = None
    estimated: bool = False


class Node(Answered):
    """One program of the tree; ``error`` says in words why it did not succeed. ``2.1`` is the first child of ``2``."""

    path: str
    parent: str | None = None
    layer: int = 1
    model: str = ""
    provider: str | None = None
    note: str | None = None
    status: str
    thought: str | None = None
    code: str | None = None
    answer: JsonValue = None
    error: str | None = None
    usage: Usage = Usage()


class Vote(Answered):
    """A cluster of equal answers, and the nodes that gave it."""

    answer: JsonValue = None
    count: int = 0
    share: float = 0.0
    nodes: Many[str] = ()


class Tree(Answered):
    """Nodes in breadth-first order."""

    nodes: Many[Node] = ()


class Episode(JobState):
    """A job of codetree. The result is empty until the job has ended; ``votes`` hold the winner first."""

    answer: JsonValue = None
    decided_by: str | None = None
    votes: Many[Vote] = ()
    stop_reason: str | None = None
    best_attempt: str | None = None
    providers: Many[str] = ()
    notes: Many[str] = Field(default=(), description="What readers must know, such as that replies were replayed.")
    usage: Usage | None = None
    tree: Tree = Tree()

    @property
    def answered(self) -> bool:
        """Whether a program reached an answer."""
        return bool(self.votes)

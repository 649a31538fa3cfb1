"""Bodies of the codetree API. Unknown fields are refused, so that a misspelt limit never means no limit."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from codetree.engine.answers import DEFAULT_TOLERANCE
from codetree.engine.outcome import EpisodeResult, StopReason
from codetree.engine.policy import Generation, TreePolicy, many_programs, one_program
from codetree.engine.tree import NodeStatus
from codetree.engine.values import ExecutionStatus
from codetree.engine.vote import DecidedBy
from codetree.tools.python_source import ToolSourceError, python_tool
from kit.jobs.web.views import JobView

MAX_PROGRAMS = 512
MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps (RFC 8785)."""
MAX_TOOL_CHARACTERS = 256 * 1024


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError(
            "nul_character", "must not hold NUL characters", {"remedy": "remove the NUL characters"}
        )
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ToolRequest(_Request):
    """Python source, loaded in the jail before the program; every public function in it may be called."""

    name: Name = Field(examples=["tariffs"])
    description: Text = Field(max_length=2_000)
    source: Text = Field(min_length=1, max_length=64 * 1024)

    @field_validator("source")
    @classmethod
    def _source_is_python(cls, source: str) -> str:
        try:
            python_tool("", "", source)
        except ToolSourceError as error:
            raise PydanticCustomError(
                "tool_source",
                "can't be used as a tool: {reason}",
                {"reason": str(error), "remedy": "send Python source that defines a public function"},
            ) from error
        return source


class _Generation(_Request):
    temperature: float | None = Field(default=0.7, ge=0, le=2, description="null: the endpoint's own default")
    max_output_tokens: int = Field(default=2048, ge=64, le=32_768, description="of one reply")
    program_wall_seconds: float = Field(default=30.0, gt=0, le=120, description="of one program")

    def _generation(self) -> Generation:
        return {
            "temperature": self.temperature,
            "max_output_tokens": self.max_output_tokens,
            "program_wall_seconds": self.program_wall_seconds,
        }


class TreePolicyRequest(_Generation):
    """Breadth-first growth of failed programs, layer by layer, and a majority vote."""

    kind: Literal["tree"]
    root_width: int = Field(default=3, ge=1, le=32)
    branching: int = Field(default=3, ge=1, le=8)
    max_layers: int = Field(default=3, ge=1, le=6)

    @model_validator(mode="after")
    def _tree_is_bounded(self) -> Self:
        programs = self.to_policy().max_programs
        if programs > MAX_PROGRAMS:
            raise PydanticCustomError(
                "tree_too_large",
                "root_width, branching and max_layers allow {programs} programs, more than {most}",
                {"programs": programs, "most": MAX_PROGRAMS, "remedy": "lower max_layers or branching"},
            )
        return self

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return TreePolicy(
            root_width=self.root_width,
            branching=self.branching,
            max_layers=self.max_layers,
            **self._generation(),
        )


class ProgramPolicyRequest(_Generation):
    """One program, one turn."""

    kind: Literal["program"]

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return one_program(**self._generation())


class ProgramsPolicyRequest(_Generation):
    """Independent programs and a vote."""

    kind: Literal["programs"]
    count: int = Field(ge=1, le=64)

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return many_programs(self.count, **self._generation())


PolicyRequest = Annotated[TreePolicyRequest | ProgramPolicyRequest | ProgramsPolicyRequest, Field(discriminator="kind")]


class LimitsRequest(_Request):
    """What the episode may spend; what is left out is not limited."""

    money_usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    llm_calls: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    programs: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    wall_seconds: float | None = Field(default=None, gt=0)


class AnswerFormatRequest(_Request):
    """The type of the answer. Numbers a, b are equal when |a - b| <= tolerance * max(1, |a|, |b|)."""

    type: Literal["string", "number", "integer", "boolean", "json"] = "json"
    tolerance: float = Field(default=DEFAULT_TOLERANCE, ge=0, le=1)


class SolveRequest(_Request):
    """A task to be solved by writing and running programs."""

    task: Text = Field(min_length=1, max_length=32 * 1024, examples=["What is the 100th prime?"])
    tools: list[ToolRequest] = Field(default=[], max_length=32)
    models: list[Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_without_nul)]] = Field(
        default=[], max_length=16, examples=[["offline:demo"]], description="empty: the configured model"
    )
    policy: PolicyRequest = TreePolicyRequest(kind="tree")
    limits: LimitsRequest = LimitsRequest()
    seed: int | None = Field(default=None, ge=0, le=MAX_SAFE_INTEGER)
    answer_format: AnswerFormatRequest = AnswerFormatRequest()
    labels: dict[
        Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(_without_nul)],
        Annotated[str, StringConstraints(max_length=255), AfterValidator(_without_nul)],
    ] = Field(default={}, max_length=32)
    external_id: Text | None = Field(default=None, min_length=1, max_length=255)

    @field_validator("tools")
    @classmethod
    def _tools_fit_together(cls, tools: list[ToolRequest]) -> list[ToolRequest]:
        names = [tool.name for tool in tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError(
                "duplicate_tool", "the tool name {name} is used twice", {"name": twice[0], "remedy": "rename one"}
            )
        if sum(len(tool.source) for tool in tools) > MAX_TOOL_CHARACTERS:
            raise PydanticCustomError(
                "tools_too_large",
                "the tools are together longer than {most} characters",
                {"most": MAX_TOOL_CHARACTERS, "remedy": "send less source"},
            )
        return tools


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UsageView(_View):
    """``money_usd`` is null when a price is unknown; ``estimated`` marks token counts that no endpoint reported."""

    llm_calls: int
    programs: int
    tokens: int
    input_tokens: int
    output_tokens: int
    money_usd: float | None
    estimated: bool


class ExecutionView(_View):
    """How a program ended."""

    status: ExecutionStatus
    reason: str | None
    exit_code: int | None
    signal: str | None
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    result_given: bool
    result: JsonValue
    wall_ms: float
    cpu_ms: float
    max_rss_bytes: int | None


class Node(_View):
    """One program of the tree. Paths and layers count from 1: ``2.1`` is the first child of the second root."""

    path: str
    parent: str | None
    layer: int
    model: str
    provider: str | None
    note: str | None
    prompt_variant: str
    status: NodeStatus
    thought: str
    code: str | None
    execution: ExecutionView | None
    answer: JsonValue
    error: str | None
    turns: int
    usage: UsageView


class Vote(_View):
    """One cluster of equal answers and the nodes that gave it."""

    answer: JsonValue
    count: int
    share: float
    nodes: list[str]


class Tree(_View):
    """Nodes in breadth-first order."""

    nodes: list[Node]


class SolveResult(_View):
    """The answer and where it comes from, or an honest failure: ``succeeded`` false and the best attempt named."""

    succeeded: bool
    answer: JsonValue
    decided_by: DecidedBy | None
    votes: list[Vote]
    stop_reason: StopReason
    best_attempt: str | None
    error: str | None
    providers: list[str]
    notes: list[str]
    prompt_version: str
    usage: UsageView
    tree: Tree

    @classmethod
    def from_episode(cls, result: EpisodeResult) -> SolveResult:
        """The public form of an engine's result."""
        return cls(
            succeeded=result.succeeded,
            answer=result.answer,
            decided_by=result.decided_by,
            votes=[Vote.model_validate(vote) for vote in result.votes],
            stop_reason=result.stop_reason,
            best_attempt=result.best_attempt,
            error=result.error,
            providers=list(result.providers),
            notes=list(result.notes),
            prompt_version=result.prompt_version,
            usage=UsageView.model_validate(result.usage),
            tree=Tree(nodes=[Node.model_validate(node) for node in result.nodes]),
        )

    def answer_fields(self) -> dict[str, Any]:
        """The fields of ``SolveView``; the error is told by the job."""
        return {name: getattr(self, name) for name in SolveResult.model_fields if name not in {"succeeded", "error"}}


class SolveView(JobView):
    """An episode's job: what it came to once it has ended, and its tree as it grows.

    A job whose programs gave no answer is ``failed``; ``best_attempt`` names the node that came furthest.
    """

    answer: JsonValue = None
    decided_by: DecidedBy | None = None
    votes: list[Vote] = Field(default=[])
    stop_reason: StopReason | None = None
    best_attempt: str | None = None
    providers: list[str] = Field(default=[], description="Who wrote the programs; `offline-replay` is a recording.")
    notes: list[str] = Field(default=[])
    prompt_version: str | None = None
    usage: UsageView | None = None
    tree: Tree

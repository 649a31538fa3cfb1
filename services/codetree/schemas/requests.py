"""The body of POST /solve."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    field_validator,
)
from pydantic_core import PydanticCustomError

from codetree.engine.answers import DEFAULT_TOLERANCE
from codetree.engine.values import Endpoint, Tool
from codetree.schemas.base import Name, Request, Text, without_nul
from codetree.schemas.policies import PolicyRequest, TreePolicyRequest
from codetree.tools.builtin import llm_tool, planner_tool
from codetree.tools.http import http_tool
from codetree.tools.python_source import ToolSourceError, python_tool

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps (RFC 8785)."""
MAX_TOOL_CHARACTERS = 256 * 1024


class ToolRequest(Request):
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

    def to_tool(self) -> Tool:
        """The engine's tool."""
        return python_tool(self.name, self.description, self.source)


class HttpToolRequest(Request):
    """A function that the host calls: POST of {"name", "arguments"} to an allowed URL, {"result"} or {"error"} back."""

    name: Name = Field(examples=["search"])
    description: Text = Field(max_length=2_000)
    url: Text = Field(max_length=2_000)
    parameters: dict[str, JsonValue] = Field(description="JSON Schema; the order of its properties is the arguments'")
    timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    max_calls: int = Field(default=20, ge=1, le=1000, description="of one program")

    @field_validator("parameters")
    @classmethod
    def _names_are_identifiers(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        properties = parameters.get("properties", {})
        wrong = [name for name in properties if not name.isidentifier()] if isinstance(properties, dict) else ["?"]
        if wrong:
            raise PydanticCustomError(
                "tool_parameters",
                "must have `properties` whose names are Python identifiers; {name} is not",
                {"name": wrong[0], "remedy": "send a JSON Schema of type object"},
            )
        return parameters

    def to_tool(self) -> Tool:
        """The engine's tool."""
        endpoint = Endpoint(self.url, self.parameters, self.timeout_seconds, self.max_calls)
        return http_tool(self.name, self.description, endpoint)


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(without_nul)]


class LLMToolRequest(Request):
    """`ask_llm(prompt)` for programs: a model of the episode's pool, paid from the episode's limits."""

    builtin: Literal["llm"]
    model: ModelName | None = Field(default=None, description="one of `models`; null: the first")
    max_output_tokens: int = Field(default=1024, ge=1, le=32_768)
    max_calls: int = Field(default=20, ge=1, le=100, description="of one program")

    @property
    def name(self) -> str:
        return self.builtin

    def to_tool(self) -> Tool:
        """The engine's tool."""
        return llm_tool(self.model, self.max_output_tokens, self.max_calls)


class PlannerToolRequest(Request):
    """`plan`, `estimate` and `catalog` of the planner for programs; your key needs the scope plans:write as well."""

    builtin: Literal["planner"]
    max_calls: int = Field(default=20, ge=1, le=100, description="of each function, of one program")

    @property
    def name(self) -> str:
        return self.builtin

    def to_tool(self) -> Tool:
        """The engine's tool."""
        return planner_tool(self.max_calls)


_KINDS: dict[type, str] = {HttpToolRequest: "http", LLMToolRequest: "llm", PlannerToolRequest: "planner"}


def _kind(tool: object) -> str | None:
    if not isinstance(tool, dict):
        return _KINDS.get(type(tool), "python")
    if "builtin" in tool:
        return tool["builtin"] if tool["builtin"] in ("llm", "planner") else None
    return "http" if "url" in tool else "python"


AnyToolRequest = Annotated[
    Annotated[ToolRequest, Tag("python")]
    | Annotated[HttpToolRequest, Tag("http")]
    | Annotated[LLMToolRequest, Tag("llm")]
    | Annotated[PlannerToolRequest, Tag("planner")],
    Discriminator(
        _kind,
        custom_error_type="builtin_tool",
        custom_error_message="`builtin` must be `llm` or `planner`",
        custom_error_context={"remedy": "name one of them, or send `source` or `url`"},
    ),
]


class LimitsRequest(Request):
    """What the episode may spend; what is left out is not limited."""

    money_usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    llm_calls: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    programs: int | None = Field(default=None, ge=1, le=MAX_SAFE_INTEGER)
    wall_seconds: float | None = Field(default=None, gt=0)


class AnswerFormatRequest(Request):
    """The type of the answer. Numbers a, b are equal when |a - b| <= tolerance * max(1, |a|, |b|)."""

    type: Literal["string", "number", "integer", "boolean", "json"] = "json"
    tolerance: float = Field(default=DEFAULT_TOLERANCE, ge=0, le=1)


class ModelRequest(Request):
    """A model of the pool and its share of the nodes, relative to the others'."""

    name: ModelName
    weight: float = Field(default=1.0, gt=0, le=1000)


def _form(model: object) -> str:
    return "weighted" if isinstance(model, dict | ModelRequest) else "name"


NamedModel = Annotated[
    Annotated[ModelName, Tag("name")] | Annotated[ModelRequest, Tag("weighted")], Discriminator(_form)
]


class SolveRequest(Request):
    """A task to be solved by writing and running programs."""

    task: Text = Field(min_length=1, max_length=32 * 1024, examples=["What is the 100th prime?"])
    tools: list[AnyToolRequest] = Field(default=[], max_length=32)
    models: list[NamedModel] = Field(
        default=[], max_length=16, examples=[["offline:demo"]], description="empty: the configured model"
    )
    policy: PolicyRequest = TreePolicyRequest(kind="tree")
    limits: LimitsRequest = LimitsRequest()
    seed: int | None = Field(default=None, ge=0, le=MAX_SAFE_INTEGER)
    answer_format: AnswerFormatRequest = AnswerFormatRequest()
    labels: dict[
        Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(without_nul)],
        Annotated[str, StringConstraints(max_length=255), AfterValidator(without_nul)],
    ] = Field(default={}, max_length=32)
    external_id: Text | None = Field(default=None, min_length=1, max_length=255)
    priority: int = Field(default=5, ge=0, le=9, description="The higher goes first among your waiting jobs.")
    webhook: AnyHttpUrl | None = Field(default=None, description="Told when the job ends.")

    @property
    def weighted_models(self) -> list[ModelRequest]:
        """The models with their weights."""
        return [ModelRequest(name=model) if isinstance(model, str) else model for model in self.models]

    @field_validator("tools")
    @classmethod
    def _tools_fit_together(cls, tools: list[AnyToolRequest]) -> list[AnyToolRequest]:
        names = [tool.name for tool in tools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError(
                "duplicate_tool", "the tool name {name} is used twice", {"name": twice[0], "remedy": "rename one"}
            )
        if sum(len(tool.source) for tool in tools if isinstance(tool, ToolRequest)) > MAX_TOOL_CHARACTERS:
            raise PydanticCustomError(
                "tools_too_large",
                "the tools are together longer than {most} characters",
                {"most": MAX_TOOL_CHARACTERS, "remedy": "send less source"},
            )
        return tools


class ReplayRequest(Request):
    """Which episode is run again; ``else_live`` asks for what it did not record, ``strict`` does not."""

    of: UUID
    mode: Literal["strict", "else_live"] = "strict"


class StoredRequest(SolveRequest):
    """A request as a job keeps it."""

    replay: ReplayRequest | None = None

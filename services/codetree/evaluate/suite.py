"""Suites are data: tools as Python source or as tables, tasks, and what a right answer is."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from codetree.schemas.requests import AnswerFormatRequest, ToolRequest

if TYPE_CHECKING:
    from collections.abc import Iterable


class SuiteError(ValueError):
    """The suite can't be used: where it is wrong, and how."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Row(_Data):
    """One call of a tool that is a table."""

    input: dict[str, JsonValue]
    output: JsonValue


class TableTool(_Data):
    """A function that answers from a table; ``otherwise`` is for arguments that no row has, ``None`` is an error."""

    name: str
    description: str
    parameters: list[str]
    rows: list[Row]
    otherwise: JsonValue = None


class SourceTool(_Data):
    """Python source, whose public functions a program may call."""

    name: str
    description: str
    source: str


class Toolset(_Data):
    """What the tasks of a family may call."""

    sources: list[SourceTool] = []
    tables: list[TableTool] = []


class SuiteTask(_Data):
    """One task. ``compare``: how the tolerant scorer compares; ``unordered``: each expected item is in the answer.

    ``tolerance`` is absolute. ``expected_repr`` is the upstream value as Python wrote it, where JSON has no such type.
    ``solution`` is a program that solves it, for simulated models and for testing the tools; models never see it.
    """

    id: str
    family: str
    toolset: str
    task: str
    expected: JsonValue
    expected_repr: str | None = None
    compare: Literal["value", "unordered"] = "value"
    tolerance: float = Field(default=1e-6, ge=0)
    answer_format: AnswerFormatRequest = AnswerFormatRequest()
    solution: str | None = None
    defect: str | None = None


class Suite(_Data):
    """A set of tasks with its tools, its source and its licence."""

    name: str
    title: str
    origin: str
    licence: str
    notice: str = ""
    toolsets: dict[str, Toolset]
    tasks: list[SuiteTask] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        ids = [task.id for task in self.tasks]
        if len(set(ids)) < len(ids):
            raise ValueError("two tasks have the same id")
        unknown = sorted({task.toolset for task in self.tasks} - set(self.toolsets))
        if unknown:
            raise ValueError(f"there is no toolset {unknown[0]!r}; there are: {', '.join(self.toolsets)}")
        return self

    def tools(self, task: SuiteTask) -> list[ToolRequest]:
        """The task's tools as a request to /solve has them."""
        return list(_tools(self.toolsets[task.toolset]))


def _tools(toolset: Toolset) -> Iterable[ToolRequest]:
    for tool in toolset.sources:
        yield ToolRequest(name=tool.name, description=tool.description, source=tool.source)
    if toolset.tables:
        source = "\n\n".join([_TABLE_HEAD, *(_table_source(table) for table in toolset.tables)])
        yield ToolRequest(name="tables", description="Functions that look things up.", source=source)


_TABLE_HEAD = """import json as _json


def _same(value):
    return float(value) if str(value).replace(".", "", 1).lstrip("-").isdecimal() else value


def _key(arguments):
    return _json.dumps({name: _same(value) for name, value in arguments.items()}, sort_keys=True)


def _look_up(name, rows, otherwise, arguments):
    found = {_key(given): answer for given, answer in rows}.get(_key(arguments), otherwise)
    if found is None:
        raise ValueError(f"{name}: nothing is known for {arguments}")
    return found"""


def _table_source(table: TableTool) -> str:
    rows = [(row.input, row.output) for row in table.rows]
    arguments = "{" + ", ".join(f"{name!r}: {name}" for name in table.parameters) + "}"
    return (
        f"_{table.name}_rows = {rows!r}\n\n\n"
        f"def {table.name}({', '.join(table.parameters)}):\n"
        f"    {table.description!r}\n"
        f"    return _look_up({table.name!r}, _{table.name}_rows, {table.otherwise!r}, {arguments})"
    )


def suite_names() -> list[str]:
    """The suites that come with the package."""
    folder = resources.files("codetree.evaluate") / "suites"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_suite(name_or_path: str) -> Suite:
    """A suite of the package by name, or one in a file. Raises ``SuiteError``."""
    from codetree.evaluate.loaders import convert  # noqa: PLC0415 - loaders are built of suites

    try:
        document = json.loads(_text(name_or_path))
        return convert(document, Path(name_or_path)) if "dataset" in document else Suite.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SuiteError(f"{name_or_path}: {place or 'suite'}: {first['msg']}") from error
    except ValueError as error:
        raise SuiteError(f"{name_or_path}: {error}") from error


def _text(name_or_path: str) -> str:
    names = suite_names()
    if name_or_path in names:
        return (resources.files("codetree.evaluate") / "suites" / f"{name_or_path}.json").read_text(encoding="utf-8")
    try:
        return Path(name_or_path).read_text(encoding="utf-8")
    except OSError as error:
        known = ", ".join(names)
        raise SuiteError(f"{name_or_path}: {error.strerror}; suites that come along: {known}") from error


def dump_suite(suite: Suite) -> dict[str, Any]:
    """The suite as a JSON object, defaults left out."""
    return suite.model_dump(mode="json", exclude_defaults=True)

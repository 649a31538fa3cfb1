"""The engine's values as JSON and back, for whoever stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from codetree.engine.outcome import EpisodeResult
from codetree.engine.ports import LLMFailure
from codetree.engine.tree import Node
from codetree.engine.values import Execution, LLMReply, ModelSpec, ToolOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_REPLY = TypeAdapter(LLMReply)
_FAILURE = TypeAdapter(LLMFailure)
_TOOL = TypeAdapter(ToolOutcome)
_EXECUTION = TypeAdapter(Execution)
_NODE = TypeAdapter(Node)
_MODELS = TypeAdapter(tuple[ModelSpec, ...])
_RESULT = TypeAdapter(EpisodeResult)

JsonObject = dict[str, Any]


def dump_reply(reply: LLMReply) -> JsonObject:
    """A reply as a JSON object."""
    return _object(_REPLY.dump_python(reply, mode="json"))


def load_reply(document: Mapping[str, Any]) -> LLMReply:
    """The reply in a JSON object. Raises ``pydantic.ValidationError``."""
    return _REPLY.validate_python(document)


def dump_failure(failure: LLMFailure) -> JsonObject:
    """A call without a reply as a JSON object."""
    return _object(_FAILURE.dump_python(failure, mode="json"))


def load_failure(document: Mapping[str, Any]) -> LLMFailure:
    """The failure in a JSON object. Raises ``pydantic.ValidationError``."""
    return _FAILURE.validate_python(document)


def dump_tool(outcome: ToolOutcome) -> JsonObject:
    """A hosted function's outcome as a JSON object."""
    return _object(_TOOL.dump_python(outcome, mode="json"))


def load_tool(document: Mapping[str, Any]) -> ToolOutcome:
    """The outcome in a JSON object. Raises ``pydantic.ValidationError``."""
    return _TOOL.validate_python(document)


def dump_execution(execution: Execution) -> JsonObject:
    """An execution as a JSON object."""
    return _object(_EXECUTION.dump_python(execution, mode="json"))


def load_execution(document: Mapping[str, Any]) -> Execution:
    """The execution in a JSON object. Raises ``pydantic.ValidationError``."""
    return _EXECUTION.validate_python(document)


def dump_node(node: Node) -> JsonObject:
    """A node as a JSON object."""
    return _object(_NODE.dump_python(node, mode="json"))


def load_node(document: Mapping[str, Any]) -> Node:
    """The node in a JSON object. Raises ``pydantic.ValidationError``."""
    return _NODE.validate_python(document)


def dump_models(models: Sequence[ModelSpec]) -> JsonObject:
    """Models as a JSON object."""
    return {"models": _MODELS.dump_python(tuple(models), mode="json")}


def load_models(document: Mapping[str, Any]) -> tuple[ModelSpec, ...]:
    """The models in a JSON object. Raises ``pydantic.ValidationError``."""
    return _MODELS.validate_python(document["models"])


def dump_result(result: EpisodeResult) -> JsonObject:
    """A result as a JSON object."""
    return _object(_RESULT.dump_python(result, mode="json"))


def load_result(document: Mapping[str, Any]) -> EpisodeResult:
    """The result in a JSON object. Raises ``pydantic.ValidationError``."""
    return _RESULT.validate_python(document)


def _object(document: Any) -> JsonObject:
    if not isinstance(document, dict):
        raise TypeError(f"expected an object, got {type(document).__name__}")
    return document

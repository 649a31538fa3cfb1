"""What the model is told. Templates are versioned files: new wording is a new version, since results depend on it."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from codetree.engine.answers import AnswerFormat, AnswerType
from codetree.engine.exploration import SEED
from codetree.engine.policy import PolicyKind
from codetree.engine.values import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codetree.engine.exploration import PromptVariant
    from codetree.engine.spec import EpisodeSpec
    from codetree.engine.tree import Node
    from codetree.engine.values import Tool

PROMPT_VERSION = "v2"
MAX_ECHO_BYTES = 4096
"""How much of an unusable reply is shown back to its author."""

_MAX_CODE_CHARACTERS = 12_000
_MAX_THOUGHT_CHARACTERS = 2_000
_MAX_OUTPUT_CHARACTERS = 2_000
_MAX_ERROR_CHARACTERS = 3_000
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

_ANSWER_FORMATS = {
    AnswerType.STRING: "- `value` must be text, and nothing but the answer itself.",
    AnswerType.NUMBER: "- `value` must be a number, without unit.",
    AnswerType.INTEGER: "- `value` must be an integer, without unit.",
    AnswerType.BOOLEAN: "- `value` must be True or False.",
    AnswerType.JSON: "- Give `value` the type the task asks for.",
}


def opening(
    spec: EpisodeSpec, path: str, ancestors: Sequence[Node], variant: PromptVariant = SEED
) -> tuple[Message, ...]:
    """The prompt of a node's first turn: the task, and for a child the failure it has to learn from.

    ``ancestors`` run from the root to the parent. A step of ``codeact`` sees all of them.
    """
    if spec.policy.kind is PolicyKind.CODEACT:
        return _conversation(spec, ancestors)
    system = _fill(
        "system",
        answer_format=_answer_format(spec.answer_format),
        tools=_tools(spec.tools),
        guidance=variant.guidance,
    )
    user = _reflection(spec, path, ancestors[-1]) if ancestors else _fill("task", task=spec.task)
    return Message("system", system), Message("user", user)


def evolution(spec: EpisodeSpec, number: int, count: int) -> tuple[Message, ...]:
    """The request for variant ``number`` of ``count``, evolved from the seed for this task."""
    asked = _fill("evolve", seed=SEED.guidance, number=str(number), count=str(count), task=spec.task)
    return (Message("user", asked),)


def _conversation(spec: EpisodeSpec, steps: Sequence[Node]) -> tuple[Message, ...]:
    turns = spec.policy.max_layers
    system = _fill(
        "codeact",
        answer_format=_answer_format(spec.answer_format),
        tools=_tools(spec.tools),
        turns=str(turns),
    )
    messages = [Message("system", system), Message("user", _fill("task", task=spec.task))]
    for number, step in enumerate(steps, start=1):
        messages += [Message("assistant", _action(step)), Message("user", _observation(step, turns - number))]
    return tuple(messages)


def _action(step: Node) -> str:
    thought = _shorten(step.thought, _MAX_THOUGHT_CHARACTERS)
    code = _shorten(step.code or "", _MAX_CODE_CHARACTERS)
    return f"<thought>\n{thought}\n</thought>\n<execute>\n{code}\n</execute>"


def _observation(step: Node, left: int) -> str:
    execution = step.execution
    return _fill(
        "observe",
        outcome=f"failed: {_quote('error', step.error, _MAX_ERROR_CHARACTERS)}" if step.error else "ran",
        stdout=_quote("stdout", execution.stdout if execution else "", _MAX_OUTPUT_CHARACTERS),
        stderr=_quote("stderr", execution.stderr if execution else "", _MAX_ERROR_CHARACTERS),
        left=str(left),
    )


def repair(messages: tuple[Message, ...], reply_text: str, problem: str) -> tuple[Message, ...]:
    """The prompt of a second turn, after a reply without a program."""
    echo = reply_text.encode()[:MAX_ECHO_BYTES].decode(errors="ignore") or "(empty)"
    return *messages, Message("assistant", echo), Message("user", _fill("repair", problem=problem))


def repair_bytes_bound() -> int:
    """The most bytes, message marks included, that ``repair`` adds to a prompt."""
    return MAX_ECHO_BYTES + len(_template("repair").template.encode()) + 512


def _reflection(spec: EpisodeSpec, path: str, parent: Node) -> str:
    execution = parent.execution
    return _fill(
        "reflect",
        task=spec.task,
        error=_quote("error", parent.error or "unknown", _MAX_ERROR_CHARACTERS),
        thought=_quote("thought", parent.thought, _MAX_THOUGHT_CHARACTERS),
        code=_quote("code", parent.code or "", _MAX_CODE_CHARACTERS),
        stdout=_quote("stdout", execution.stdout if execution else "", _MAX_OUTPUT_CHARACTERS),
        stderr=_quote("stderr", execution.stderr if execution else "", _MAX_ERROR_CHARACTERS),
        attempt=path.rpartition(".")[2],
    )


def _quote(kind: str, text: str, max_characters: int) -> str:
    """Untrusted text between marks that it can't forge: the mark is derived from a digest of the text itself."""
    clean = _shorten(_ANSI.sub("", text).strip(), max_characters)
    if not clean:
        return "(none)"
    mark = hashlib.sha256(f"{kind}\0{clean}".encode()).hexdigest()[:12]
    return f'<untrusted kind="{kind}" id="{mark}">\n{clean}\n</untrusted id="{mark}">'


def _shorten(text: str, max_characters: int) -> str:
    """Keep the head and, longer, the tail: errors end with what matters."""
    if len(text) <= max_characters:
        return text
    head = max_characters // 3
    tail = max_characters - head
    return f"{text[:head]}\n[... {len(text) - head - tail} characters left out ...]\n{text[-tail:]}"


def _answer_format(answer_format: AnswerFormat) -> str:
    return _ANSWER_FORMATS[answer_format.type]


def _tools(tools: tuple[Tool, ...]) -> str:
    if not tools:
        return "(none)"
    return "\n\n".join(_tool(tool) for tool in tools)


def _tool(tool: Tool) -> str:
    functions = [_indented(function.signature, function.docstring) for function in tool.functions]
    return "\n".join([f"# {tool.name}: {tool.description}", *functions])


def _indented(signature: str, docstring: str) -> str:
    lines = [f"    {line}".rstrip() for line in docstring.splitlines()]
    return "\n".join([signature, *lines])


def _fill(name: str, **values: str) -> str:
    return _template(name).substitute(values).strip()


@cache
def _template(name: str) -> Template:
    folder = resources.files("codetree.engine") / "templates" / PROMPT_VERSION
    return Template((folder / f"{name}.md").read_text(encoding="utf-8"))

"""Lay a program and its tools out as the files of one execution."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from codetree.engine.values import Program

TOOLS_FOLDER = "astrolabe_tools"
_PROGRAM_FILE = "program.py"


class Bundle(NamedTuple):
    """``code`` is what the interpreter starts with; ``files`` lie in its working directory, by relative path."""

    code: str
    files: dict[str, str]


def bundle(program: Program) -> Bundle:
    """A program without tools is started as it is; with tools, the bootstrap loads them and then runs it."""
    tools = [tool for tool in program.tools if tool.source]
    if not tools:
        return Bundle(program.code, {})
    files = {f"{TOOLS_FOLDER}/{tool.name}.py": tool.source for tool in tools}
    names = [tool.name for tool in tools]
    return Bundle(
        f"{_bootstrap()}\n\nstart({TOOLS_FOLDER!r}, {names!r}, {_PROGRAM_FILE!r})\n",
        {**files, _PROGRAM_FILE: program.code},
    )


def load_tools(program: Program) -> str:
    """The first step of a session: every public name of the tools."""
    return "\n".join(f"from {TOOLS_FOLDER}.{tool.name} import *" for tool in program.tools if tool.source)


@cache
def _bootstrap() -> str:
    return (resources.files("codetree.tools") / "bootstrap.py").read_text(encoding="utf-8")

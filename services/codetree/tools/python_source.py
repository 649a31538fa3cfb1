"""Read a tool's functions from its source, without running any of it on the host."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING

from codetree.engine.values import Function, Tool

if TYPE_CHECKING:
    from collections.abc import Iterator


class ToolSourceError(ValueError):
    """The source is not Python, or offers nothing to call."""


def python_tool(name: str, description: str, source: str) -> Tool:
    """A tool with the signature and docstring of every public function and class. Raises ``ToolSourceError``."""
    functions = tuple(_functions(_parse(source)))
    if not functions:
        raise ToolSourceError("it defines no public function")
    return Tool(name, description, source, functions)


def _parse(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program's style is not the service's concern
            return ast.parse(source)
    except SyntaxError as error:
        raise ToolSourceError(f"line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ToolSourceError("it can't be parsed as Python") from error


def _functions(module: ast.Module) -> Iterator[Function]:
    for statement in module.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not name.startswith("_"):
                yield Function(_signature(statement), _docstring(statement))
            case ast.ClassDef(name=name) if not name.startswith("_"):
                yield from _class(statement)
            case _:
                continue


def _class(statement: ast.ClassDef) -> Iterator[Function]:
    yield Function(f"class {statement.name}", _docstring(statement))
    for method in statement.body:
        if isinstance(method, ast.FunctionDef) and (method.name == "__init__" or not method.name.startswith("_")):
            yield Function(f"    {_signature(method)}", _docstring(method))


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    keyword = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{keyword} {function.name}({ast.unparse(function.args)}){returns}"


def _docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    return ast.get_docstring(node) or ""

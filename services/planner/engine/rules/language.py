"""The rule language: arithmetic, comparison, membership and boolean logic over strategy fields.

Parsed with an LALR grammar, checked for types, and compiled to array operations; nothing is ever evaluated as Python.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache, reduce
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from lark import Lark, Token, Tree, UnexpectedInput

from planner.engine.rules.fields import AXES, FIELDS, Grid, RuleField, broadcast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class RuleError(ValueError):
    """A rule that cannot be read; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        self.column = column
        super().__init__(f"{message} at column {column}")


@dataclass(frozen=True, slots=True)
class Expression:
    """A typed, compiled rule. `axes` are the axes of the grid it varies along."""

    source: str
    axes: frozenset[int]
    evaluate: Callable[[Grid], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    axes: frozenset[int]
    evaluate: Callable[[Grid], NDArray[np.generic]]
    column: int
    values: tuple[str, ...] = ()
    literal: float | bool | str = 0


@cache
def _parser() -> Lark:
    grammar = (resources.files(__package__) / "grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


@cache
def parse_rule(source: str) -> Expression:
    """Parse, type-check and compile `source`; RuleError names what is wrong and the column."""
    try:
        node = _compile(_parser().parse(source))
    except UnexpectedInput as error:
        raise _unreadable(source, error) from error
    except RecursionError as error:
        raise RuleError("is nested too deeply", 1) from error
    _require(node, "boolean")

    def evaluate(grid: Grid) -> NDArray[np.bool_]:
        return np.asarray(node.evaluate(grid), np.bool_)

    return Expression(source, node.axes, evaluate)


def _unreadable(source: str, error: UnexpectedInput) -> RuleError:
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return RuleError("ends too early", len(source) + 1)
    position = error.pos_in_stream or 0
    return RuleError(f"does not expect {source[position : position + 12].split(maxsplit=1)[0]!r}", position + 1)


def _compile(tree: Tree[Token] | Token) -> _Node:
    if isinstance(tree, Token):
        raise RuleError(f"does not expect {tree.value!r}", tree.column or 1)
    return _BUILDERS[tree.data](tree)


def _column(tree: Tree[Token]) -> int:
    return int(getattr(tree.meta, "column", 1))


def _require(node: _Node, kind: str) -> None:
    if node.kind != kind:
        raise RuleError(f"expects a {kind}, not a {node.kind}", node.column)


def _constant(tree: Tree[Token], kind: str, *, value: float | bool | str) -> _Node:
    return _Node(kind, frozenset(), lambda _: np.asarray(value).reshape((1,) * AXES), _column(tree), literal=value)


def _token(tree: Tree[Token], index: int = 0) -> str:
    return str(tree.children[index])


def _field(tree: Tree[Token]) -> _Node:
    name = _token(tree)
    field = FIELDS.get(name)
    if field is None:
        raise RuleError(f"unknown field {name!r}; {_closest(name)}", _column(tree))
    axes = frozenset() if field.axis is None else frozenset({field.axis})
    return _Node(field.kind, axes, _reader(field), _column(tree), field.values)


def _reader(field: RuleField) -> Callable[[Grid], NDArray[np.generic]]:
    return lambda grid: broadcast(field, grid)


def _closest(name: str) -> str:
    close = difflib.get_close_matches(name, FIELDS, n=3, cutoff=0.4)
    return f"did you mean {', '.join(close)}?" if close else "see the documented fields"


def _logical(function: Callable[..., NDArray[np.generic]]) -> Callable[[Tree[Token]], _Node]:
    def build(tree: Tree[Token]) -> _Node:
        nodes = [_compile(child) for child in tree.children]
        for node in nodes:
            _require(node, "boolean")
        axes = frozenset().union(*(node.axes for node in nodes))
        return _Node("boolean", axes, lambda grid: reduce(function, [n.evaluate(grid) for n in nodes]), _column(tree))

    return build


def _negate(tree: Tree[Token]) -> _Node:
    node = _compile(tree.children[0])
    _require(node, "boolean")
    return _Node("boolean", node.axes, lambda grid: np.logical_not(node.evaluate(grid)), _column(tree))


def _minus(tree: Tree[Token]) -> _Node:
    node = _compile(tree.children[0])
    _require(node, "number")
    return _Node("number", node.axes, lambda grid: np.negative(_wide(node.evaluate(grid))), _column(tree))


def _wide(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Small integer columns overflow in arithmetic; 64 bits do not."""
    return values if values.dtype.kind == "f" else values.astype(np.int64, copy=False)


def _is_any(values: NDArray[np.generic], items: Sequence[object], *, negated: bool) -> NDArray[np.generic]:
    """Whether each value is one of a few items: `np.isin` prepares for many."""
    held = reduce(
        np.logical_or, [np.equal(values, np.asarray(item)) for item in items], np.zeros_like(values, np.bool_)
    )
    return np.logical_not(held) if negated else held


def _safe(function: Callable[..., NDArray[np.generic]]) -> Callable[..., NDArray[np.generic]]:
    def divide(left: NDArray[np.generic], right: NDArray[np.generic]) -> NDArray[np.generic]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return function(left, right)

    return divide


_ARITHMETIC: dict[str, Callable[..., NDArray[np.generic]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _safe(np.true_divide),
    "//": _safe(np.floor_divide),
    "%": _safe(np.remainder),
}
_COMPARISONS: dict[str, Callable[..., NDArray[np.generic]]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
}


def _arithmetic(tree: Tree[Token]) -> _Node:
    result = _compile(tree.children[0])
    _require(result, "number")
    for position in range(1, len(tree.children), 2):
        right = _compile(tree.children[position + 1])
        _require(right, "number")
        result = _binary(result, right, _ARITHMETIC[_token(tree, position)], "number")
    return result


def _binary(left: _Node, right: _Node, function: Callable[..., NDArray[np.generic]], kind: str) -> _Node:
    def evaluate(grid: Grid) -> NDArray[np.generic]:
        return function(_wide(left.evaluate(grid)), _wide(right.evaluate(grid)))

    return _Node(kind, left.axes | right.axes, evaluate, left.column)


def _compare(tree: Tree[Token]) -> _Node:
    left, right = _compile(tree.children[0]), _compile(tree.children[2])
    symbol = _token(tree, 1)
    if {left.kind, right.kind} == {"choice", "text"}:
        choice, text = (left, right) if left.kind == "choice" else (right, left)
        if symbol not in {"==", "!="}:
            raise RuleError(f"compares texts with {symbol!r}; use == or !=", choice.column)
        return _coded(choice, [text], negated=symbol == "!=")
    if left.kind != right.kind or left.kind not in {"number", "boolean"}:
        raise RuleError(f"compares a {left.kind} with a {right.kind}", left.column)
    if left.kind == "boolean" and symbol not in {"==", "!="}:
        raise RuleError(f"orders booleans with {symbol!r}; use == or !=", left.column)
    return _binary(left, right, _COMPARISONS[symbol], "boolean")


def _code(choice: _Node, text: _Node) -> int:
    _require(text, "text")
    if text.literal not in choice.values:
        raise RuleError(f"{text.literal!r} is not one of {', '.join(choice.values)}", text.column)
    return choice.values.index(str(text.literal))


def _coded(choice: _Node, texts: list[_Node], *, negated: bool) -> _Node:
    codes = [_code(choice, text) for text in texts]
    return _Node(
        "boolean", choice.axes, lambda grid: _is_any(choice.evaluate(grid), codes, negated=negated), choice.column
    )


def _member(tree: Tree[Token], *, negated: bool = False) -> _Node:
    left = _compile(tree.children[0])
    right = tree.children[1]
    if isinstance(right, Tree) and right.data == "list":
        return _in_list(left, [_compile(item) for item in right.children], negated=negated)
    holder = _compile(right)
    _require(holder, "set")
    bit = 1 << _code(holder, left)

    def evaluate(grid: Grid) -> NDArray[np.generic]:
        held = np.bitwise_and(holder.evaluate(grid).astype(np.int64), bit)
        return np.equal(held, 0) if negated else np.not_equal(held, 0)

    return _Node("boolean", holder.axes, evaluate, left.column)


def _in_list(left: _Node, items: list[_Node], *, negated: bool) -> _Node:
    if left.kind == "choice":
        return _coded(left, items, negated=negated)
    _require(left, "number")
    for item in items:
        _require(item, "number")
    values = [item.literal for item in items]
    return _Node("boolean", left.axes, lambda grid: _is_any(left.evaluate(grid), values, negated=negated), left.column)


def _list(tree: Tree[Token]) -> _Node:
    raise RuleError("has a list where a value belongs; use a list only after `in`", _column(tree))


def _number(tree: Tree[Token]) -> _Node:
    text = _token(tree)
    try:
        return _constant(tree, "number", value=int(text))
    except ValueError:
        return _constant(tree, "number", value=float(text))


_BUILDERS: dict[str, Callable[[Tree[Token]], _Node]] = {
    "disjunction": _logical(np.logical_or),
    "conjunction": _logical(np.logical_and),
    "negate": _negate,
    "compare": _compare,
    "member": _member,
    "not_member": lambda tree: _member(tree, negated=True),
    "sum": _arithmetic,
    "term": _arithmetic,
    "minus": _minus,
    "field": _field,
    "list": _list,
    "number": _number,
    "text": lambda tree: _constant(tree, "text", value=_token(tree)[1:-1]),
    "true": lambda tree: _constant(tree, "boolean", value=True),
    "false": lambda tree: _constant(tree, "boolean", value=False),
}

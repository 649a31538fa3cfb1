"""The calculator of M3ToolEval, on a syntax tree instead of ``eval``."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_MOST_POWER = 64


def calculator(expression: str) -> float | str:
    """Evaluates the given expression and returns the result. Accepts a calculation expression as input.

    For example, "2 + (3 * 4)" will return 14.
    """
    try:
        return _value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, KeyError, TypeError) as error:
        return f"Failed to evaluate expression: {error}"


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left), _value(right))
    raise ValueError("only numbers and + - * / // % ** ( ) are understood")


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > _MOST_POWER:
        raise ValueError("the exponent is too large")
    power: float = base**exponent
    return power

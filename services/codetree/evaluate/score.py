"""Two scorers: ``upstream`` as M3ToolEval compares, faults included, and ``tolerant`` as a person would."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from codetree.engine.answers import AnswerFormat, AnswerType, canonical, same

if TYPE_CHECKING:
    from pydantic import JsonValue

    from codetree.evaluate.suite import SuiteTask


def upstream(task: SuiteTask, answer: JsonValue) -> bool:
    """Equal as they are, as numbers, as Python literals, or as text; lists and dictionaries in effect only as text.

    An answer is compared as text, since that is how a chat model gives it. Suites other than M3ToolEval have no
    upstream scorer for answers; for them this is strict equality.
    """
    expected = ast.literal_eval(task.expected_repr) if task.expected_repr else task.expected
    text = str(answer)
    return _as_numbers(text, expected) or _literal(text) == expected or text == str(expected)


def tolerant(task: SuiteTask, answer: JsonValue) -> bool:
    """Equal up to the task's tolerance, case, a full stop, numbers written as text, tuples as lists, JSON as text."""
    form = AnswerFormat(AnswerType.JSON, 0.0)
    given, wanted = canonical(answer, form), canonical(task.expected, form)
    if task.compare == "unordered" and isinstance(given, list) and isinstance(wanted, list):
        left = list(given)
        return all(_take(left, item, task.tolerance) for item in wanted)
    return _close(given, wanted, task.tolerance)


def _take(left: list[JsonValue], item: JsonValue, tolerance: float) -> bool:
    found = next((index for index, other in enumerate(left) if _close(other, item, tolerance)), None)
    if found is not None:
        del left[found]
    return found is not None


def _close(given: JsonValue, wanted: JsonValue, tolerance: float) -> bool:
    if _is_number(given) and _is_number(wanted):
        return abs(float(given) - float(wanted)) <= tolerance  # type: ignore[arg-type]
    if isinstance(given, list) and isinstance(wanted, list):
        return len(given) == len(wanted) and all(_close(a, b, tolerance) for a, b in zip(given, wanted, strict=True))
    if isinstance(given, dict) and isinstance(wanted, dict):
        return given.keys() == wanted.keys() and all(_close(given[key], wanted[key], tolerance) for key in given)
    return same(given, wanted, 0.0)


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_numbers(text: str, expected: object) -> bool:
    for number in (int, float):
        try:
            if number(text) == number(str(expected)):
                return True
        except (TypeError, ValueError):
            continue
    return False


def _literal(text: str) -> object:
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, int | float | str | bool) else None

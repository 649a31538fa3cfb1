"""Answers: the form the task asks for, and when two answers are the same answer."""

from __future__ import annotations

import json
import math
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from pydantic import JsonValue

DEFAULT_TOLERANCE = 1e-6
MAX_DEPTH = 64


class AnswerType(StrEnum):
    """What a task may ask for; ``json`` is any value."""

    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The type an answer must have, and how far apart two equal numbers may lie.

    Numbers a and b are the same when |a - b| <= tolerance * max(1, |a|, |b|): relative for large, absolute for small.
    """

    type: AnswerType = AnswerType.JSON
    tolerance: float = DEFAULT_TOLERANCE


class WrongAnswerTypeError(ValueError):
    """The program answered, but not in the form the task asks for."""


def coerce(value: JsonValue, answer_format: AnswerFormat) -> JsonValue:
    """``value`` in the asked form. Raises ``WrongAnswerTypeError`` with a sentence a model can act on."""
    if _depth(value) > MAX_DEPTH:
        raise WrongAnswerTypeError(f"final_answer was given a value nested deeper than {MAX_DEPTH} levels")
    try:
        return _COERCE[answer_format.type](value)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        shown = json.dumps(value, ensure_ascii=False)[:200]
        message = f"final_answer was given {shown}, which is not a {answer_format.type.value} as the task asks"
        raise WrongAnswerTypeError(message) from error


def _depth(value: JsonValue) -> int:
    """Levels of nesting, found without recursion: the value is a program's."""
    depth, level = 0, [value]
    while level:
        depth += 1
        below: list[JsonValue] = []
        for item in level:
            if isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.values()
        level = below
    return depth


def _string(value: JsonValue) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return str(value)
    raise TypeError(value)


def _number(value: JsonValue) -> int | float:
    if isinstance(value, str):
        text = value.strip().replace(",", "")
        value = int(text) if text.lstrip("+-").isdecimal() else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(value)
    return value


def _integer(value: JsonValue) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError(value)
    return int(number)


def _boolean(value: JsonValue) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "yes": True, "false": False, "no": False}[value.strip().casefold()]
    raise TypeError(value)


def _any(value: JsonValue) -> JsonValue:
    return value


_COERCE = {
    AnswerType.STRING: _string,
    AnswerType.NUMBER: _number,
    AnswerType.INTEGER: _integer,
    AnswerType.BOOLEAN: _boolean,
    AnswerType.JSON: _any,
}


def canonical(value: JsonValue, answer_format: AnswerFormat) -> JsonValue:
    """The form in which answers are compared: text folded, JSON in text unpacked (unless text was asked for)."""
    if isinstance(value, str):
        unpacked = value if answer_format.type is AnswerType.STRING else _unpack(value)
        if not isinstance(unpacked, str):
            return canonical(unpacked, answer_format)
        return _fold(unpacked)
    if isinstance(value, list):
        return [canonical(item, answer_format) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item, answer_format) for key, item in value.items()}
    return value


def _unpack(text: str) -> JsonValue:
    """``"[1, 2]"``, ``"42"`` and ``"True"`` are a list, a number and a boolean; other text stays text."""
    stripped = text.strip()
    for candidate in (stripped, stripped.casefold()):
        try:
            unpacked: JsonValue = json.loads(candidate, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            continue
        return text if isinstance(unpacked, str) else unpacked
    return text


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(name)


def _fold(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.removesuffix(".") if len(folded) > 1 else folded


def same(left: JsonValue, right: JsonValue, tolerance: float) -> bool:
    """Whether two canonical answers are one. Lists keep their order; booleans are not numbers."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return _close(left, right, tolerance)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(a, b, tolerance) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key], tolerance) for key in left)
    return left == right


def _close(left: float, right: float, tolerance: float) -> bool:
    if left == right:
        return True
    try:
        return abs(left - right) <= tolerance * max(1.0, abs(left), abs(right))
    except OverflowError:
        return False

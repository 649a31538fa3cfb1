"""How deep a JSON value may be nested, on both sides of the jail's wall."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NESTING = 64


def nested_too_deep(value: object) -> bool:
    """Whether lists and dictionaries lie more than :data:`MAX_NESTING` deep. Never recurses."""
    level = _containers([value])
    for _ in range(MAX_NESTING):
        if not level:
            return False
        level = _containers(
            child for outer in level for child in (outer.values() if isinstance(outer, dict) else outer)
        )
    return bool(level)


def _containers(values: Iterable[object]) -> list[dict[str, object] | list[object]]:
    return [value for value in values if isinstance(value, (dict, list))]

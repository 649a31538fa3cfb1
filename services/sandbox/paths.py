"""Names of files in the working directory: where they may lead, and the patterns that collect them."""

from __future__ import annotations

import re

_MAX_DEPTH = 32
_MAX_NAME_BYTES = 255
_MAX_WILDCARDS = 8


def check_input_path(path: str) -> str:
    """``path`` with empty and ``.`` parts removed. Raises ValueError when it could lead out or cannot be a name."""
    if path.startswith("/"):
        raise ValueError(f"{path!r} is absolute; give a path below the working directory")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError(f"{path!r} leads upwards; give a path below the working directory")
    if not parts or path.endswith("/"):
        raise ValueError(f"{path!r} names no file")
    if len(parts) > _MAX_DEPTH or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts):
        raise ValueError(f"at most {_MAX_DEPTH} folders deep and {_MAX_NAME_BYTES} bytes a name")
    return "/".join(parts)


def check_pattern(pattern: str) -> str:
    """``pattern``, cleaned. Raises ValueError when it leads out of the working directory or costs too much."""
    cleaned = check_input_path(pattern)
    if len(re.findall(r"\*+", cleaned)) > _MAX_WILDCARDS:
        raise ValueError(f"{pattern!r} has more than {_MAX_WILDCARDS} wildcards; use several patterns")
    return cleaned


def pattern_expression(pattern: str) -> str:
    """The regular expression of a pattern: ``*`` and ``?`` within a name, ``**`` over any number of folders."""
    expression = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern):
        match token:
            case "**/":
                expression += "(?:[^/]+/)*"
            case "**":
                expression += ".*"
            case "*":
                expression += "[^/]*"
            case "?":
                expression += "[^/]"
            case literal:
                expression += re.escape(literal)
    return f"(?s:{expression})"

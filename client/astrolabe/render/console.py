"""Consoles that fit where they print, and text that cannot harm them."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pydantic import JsonValue

_PIPE_COLUMNS = 4096
"""Into a pipe or file nothing is wrapped or cut, so that lines can be searched."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


def output() -> Console:
    """Where results go."""
    return _console(stderr=False)


def notices() -> Console:
    """Where progress and errors go, so that results can be piped on."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def table(console: Console, ruled_from_columns: int = 80) -> Table:
    """An empty table: ruled on a terminal with room for it, bare columns elsewhere."""
    if not console.is_terminal:
        return Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    if console.width >= ruled_from_columns:
        return Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    return Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))


def line(text: str, limit: int = 300) -> str:
    """Foreign text on one line, cut to ``limit``, without the control characters that could rewrite the terminal."""
    cleaned = _UNPRINTABLE.sub(" ", text).strip()
    return cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 3]}..."


def first_line(text: str) -> str:
    """The first line of foreign text that holds anything."""
    return next((line(part) for part in text.splitlines() if part.strip()), "")


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text from plain and (text, style) parts."""
    return Text.assemble(*parts)


def shown(value: JsonValue) -> str:
    """A JSON value as one line: strings as they are, anything else as JSON."""
    return line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

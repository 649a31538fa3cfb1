"""Untrusted text made safe to store: Postgres refuses NUL, and UTF-8 has no lone surrogates."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """``text`` with what can't be stored replaced by U+FFFD."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def storable_json(value: JsonValue) -> JsonValue:
    """``value`` with every text made storable, and numbers that JSON lacks (NaN, infinities) as text."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [storable_json(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable_json(item) for key, item in value.items()}
    return value

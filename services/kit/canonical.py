"""The canonical form of a JSON value and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def dumps(value: Any) -> str:
    """``value`` as compact JSON with sorted keys. Raises ``ValueError`` on NaN.

    Python's own encoder: the fingerprint is compared only with others of ours, and RFC 8785 in Python costs tenfold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(text: str) -> str:
    """The SHA-256 of ``text`` in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256(value: Any) -> str:
    """The fingerprint of ``value``: the digest of its canonical form. Raises ``ValueError`` on NaN."""
    return digest(dumps(value))

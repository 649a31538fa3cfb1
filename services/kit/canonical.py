"""The canonical form of a JSON value and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def sha256(value: Any) -> str:
    """The SHA-256 of ``value`` as compact JSON with sorted keys, in hexadecimal. Raises ``ValueError`` on NaN.

    Python's own encoder: the fingerprint is compared only with others of ours, and RFC 8785 in Python costs tenfold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

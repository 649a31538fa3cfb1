"""The canonical form of a JSON value (RFC 8785) and its fingerprint."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def sha256(value: Any) -> str:
    """The SHA-256 of the canonical JSON of ``value``, in hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()

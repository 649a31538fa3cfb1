"""The signature of a delivery: HMAC-SHA256 over id, time and body, one for each valid secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def headers(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The specification's three headers."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [f"v1,{_sign(secret, signed)}" for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.partition("_")[2])
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

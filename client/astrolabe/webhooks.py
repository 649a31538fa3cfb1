"""Check that a webhook was sent by an Astrolabe service: Standard Webhooks, https://www.standardwebhooks.com."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from astrolabe.errors import AstrolabeError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLERANCE_SECONDS = 300.0
_SECRET_PREFIX = "whsec_"  # noqa: S105 - marks a secret, is none
_VERSION = "v1"


class WebhookVerificationError(AstrolabeError):
    """The request was not sent by whom the secret is shared with, was changed on its way, or is old."""


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The JSON object in ``body``, once its signature and age are checked.

    ``body`` is what was received, byte for byte; ``secret`` is the ``whsec_...`` of the webhook; ``now`` is Unix
    time, the clock's unless given. The same delivery may come twice: ``webhook-id`` tells. Raises
    ``WebhookVerificationError``, and ``ConfigurationError`` for a secret that is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (_header(given, name) for name in ("id", "timestamp", "signature"))
    _check_age(timestamp, time.time() if now is None else now, tolerance_seconds)
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    expected = hmac.digest(_key(secret), signed, hashlib.sha256)
    if not any(hmac.compare_digest(expected, signature) for signature in _decoded(signatures)):
        raise WebhookVerificationError("No webhook-signature matches: check the secret, and pass the body unchanged.")
    return _document(body)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(f"webhook-{name}", "")
    if not value:
        raise WebhookVerificationError(f"The header webhook-{name} is missing.")
    return value


def _check_age(timestamp: str, now: float, tolerance_seconds: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit()):
        raise WebhookVerificationError(f"webhook-timestamp {timestamp[:40]!r} is not Unix time in seconds.")
    age_seconds = now - int(timestamp)
    if abs(age_seconds) > tolerance_seconds:
        raise WebhookVerificationError(
            f"webhook-timestamp is {age_seconds:.0f} s away from this machine's clock, more than {tolerance_seconds:g}."
        )


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError("The webhook's secret is not base64: give it as it was shown, whsec_...") from error
    if not key:
        raise ConfigurationError("The webhook's secret is empty: give it as it was shown, whsec_...")
    return key


def _decoded(signatures: str) -> Iterable[bytes]:
    """The signatures of this version; there are several while a secret is being replaced."""
    for signature in signatures.split(" "):
        version, _, encoded = signature.partition(",")
        if version == _VERSION:
            try:
                yield base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                continue


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError("The body is signed, but is not JSON.") from error
    if not isinstance(document, dict):
        raise WebhookVerificationError("The body is signed, but is not a JSON object.")
    return document

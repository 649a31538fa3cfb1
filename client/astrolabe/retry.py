"""When to send a request again, and how long to wait before.

Every request of this client may be repeated: reads, pure computations, cancellations, submissions under an
``Idempotency-Key``, and deletions, of which a second one is answered 404.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

Outcome = httpx.Response | httpx.RequestError
"""What came of one attempt."""

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; a ``Retry-After`` up to ``longest_retry_after_seconds`` takes precedence."""

    attempts: int = 4
    first_seconds: float = 0.25
    longest_seconds: float = 8.0
    longest_retry_after_seconds: float = 60.0

    def pause_seconds(self, attempt: int, outcome: Outcome) -> float | None:
        """How long to wait after attempt number ``attempt`` (from 1); None when its outcome stands."""
        if attempt >= self.attempts or not is_transient(outcome):
            return None
        asked = retry_after_seconds(outcome) if isinstance(outcome, httpx.Response) else None
        if asked is None:
            return self.backoff_seconds(attempt)
        return asked if asked <= self.longest_retry_after_seconds else None

    def backoff_seconds(self, attempt: int) -> float:
        """Between half and all of a bound that doubles with each attempt, so that clients do not return in step."""
        bound = min(self.longest_seconds, self.first_seconds * 2 ** (attempt - 1))
        return random.uniform(bound / 2, bound)  # noqa: S311 - jitter, not a secret


def is_transient(outcome: Outcome) -> bool:
    """Whether the same request may fare better a moment later."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _RETRIED_STATUSES
    return isinstance(outcome, httpx.TransportError) and not isinstance(outcome, httpx.UnsupportedProtocol)


def retry_after_seconds(response: httpx.Response) -> float | None:
    """The ``Retry-After`` header as seconds from now, given as seconds or as a date; None if absent or wrong."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())

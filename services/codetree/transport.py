"""HTTP calls that end: one layer of retries, a deadline, and a bound on what is read.

Waits grow exponentially with jitter, unless the server sends Retry-After; a server that asks for longer than
``MAX_WAIT_SECONDS`` is taken at its word and not asked again.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

import httpx
import tenacity

from kit import tracing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


T = TypeVar("T")
MAX_WAIT_SECONDS = 60.0
RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
_KEEPALIVE_SECONDS = 2.0
"""Below the five seconds after which common servers close an idle connection: a request must not meet that end."""
_FIRST_WAIT_SECONDS = 0.5
_JITTER_SECONDS = 0.25


class TransientError(Exception):
    """Worth another attempt, after ``retry_after_seconds`` if the server said. ``final`` is raised after the last."""

    def __init__(self, final: Exception, retry_after_seconds: float | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.retry_after_seconds = retry_after_seconds


class ReplyTooLargeError(Exception):
    """The server sent more than is read."""


def patient_client(headers: Mapping[str, str] | None = None, *, use_proxies: bool = True) -> httpx.AsyncClient:
    """A client without limits of its own: callers give each attempt a deadline, and bound how many are in flight.

    ``use_proxies``: whether the proxies that the environment names apply.
    """
    unlimited = httpx.Limits(max_connections=None, keepalive_expiry=_KEEPALIVE_SECONDS)
    client = httpx.AsyncClient(headers=headers, timeout=None, limits=unlimited, trust_env=use_proxies)  # noqa: S113
    tracing.instrument(client)
    return client


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in RETRYABLE_STATUS or status >= 500  # noqa: PLR2004 - every server error


async def with_retries(
    attempt: Callable[[], Awaitable[T]],
    *,
    max_attempts: int,
    on_retry: Callable[[TransientError, int], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """What ``attempt`` returns; it is repeated while it raises ``TransientError``."""

    def before_sleep(state: tenacity.RetryCallState) -> None:
        on_retry(_error_of(state), state.attempt_number)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        wait=_wait,
        stop=tenacity.stop_any(tenacity.stop_after_attempt(max_attempts), _AskedToWaitTooLong()),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    )
    try:
        return await retrying(attempt)
    except TransientError as error:
        raise error.final from error


def _error_of(state: tenacity.RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, TransientError):
        raise TypeError(error)
    return error


_back_off = tenacity.wait_exponential_jitter(
    multiplier=_FIRST_WAIT_SECONDS, max=MAX_WAIT_SECONDS, jitter=_JITTER_SECONDS
)


def _wait(state: tenacity.RetryCallState) -> float:
    asked = _error_of(state).retry_after_seconds
    return _back_off(state) if asked is None else asked


class _AskedToWaitTooLong(tenacity.stop.stop_base):
    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return (_error_of(retry_state).retry_after_seconds or 0.0) > MAX_WAIT_SECONDS


def retry_after_seconds(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds from ``retry-after-ms`` or ``Retry-After`` (seconds or a date); ``None`` when absent or unreadable."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers["retry-after"]
    except (KeyError, ValueError):
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except ValueError:
        return None


async def read_body(response: httpx.Response, max_bytes: int) -> bytes:
    """The whole body. Raises ``ReplyTooLargeError`` before it holds more than ``max_bytes``."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            raise ReplyTooLargeError(f"the reply is larger than {max_bytes} bytes")
    return bytes(body)

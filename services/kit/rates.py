"""How many requests a caller may send: counted in Redis for all processes of a service, in windows by the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import limits
from limits.aio.storage import RedisStorage
from limits.errors import StorageError
from prometheus_client import Counter

from kit.log import get_logger
from kit.problems import Problem

if TYPE_CHECKING:
    from limits import RateLimitItem
    from redis.asyncio import Redis

_RETRY_REDIS_AFTER_SECONDS = 2.0

UNCOUNTED = Counter("astrolabe_rate_limit_uncounted", "Requests let through because Redis did not count them.")
REJECTED = Counter("astrolabe_rate_limit_rejections", "Requests refused because the caller sent too many.", ["policy"])

logger = get_logger(__name__)


@lru_cache(maxsize=1024)
def _parse(rate: str) -> RateLimitItem:
    return limits.parse(rate)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands within the window: what the ``RateLimit`` headers tell."""

    policy: str
    quota: int
    window_seconds: int
    used: int
    reset_seconds: int

    @property
    def is_exceeded(self) -> bool:
        return self.used > self.quota

    def headers(self) -> dict[str, str]:
        """The two fields of draft-ietf-httpapi-ratelimit-headers, as structured fields."""
        remaining = max(0, self.quota - self.used)
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w={self.window_seconds}',
            "RateLimit": f'"{self.policy}";r={remaining};t={self.reset_seconds}',
        }

    def problem(self) -> Problem:
        """The 429 for a caller that sent too many."""
        detail = (
            f"More than {self.quota} requests in {self.window_seconds} s; the next is taken in {self.reset_seconds} s. "
            "Send fewer: POST /batches takes thousands of requests at once, and ?wait= spares polling."
        )
        headers = {"Retry-After": str(self.reset_seconds)}
        return Problem(429, "rate-limited", "Too many requests", detail, headers=headers)


class RateLimiter:
    """Counts requests with one round trip to Redis each; lets them through, and counts that, while Redis is away.

    A window begins at a multiple of its length, so a caller may send twice its quota around the turn of a window.
    """

    def __init__(self, client: Redis, service: str) -> None:
        self._service = service
        self._storage = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            connection_pool=client.connection_pool,  # type: ignore[arg-type]
        )
        self._away_until = 0.0

    async def count(self, caller: str, policy: str, rate: str) -> Standing:
        """Count a request of ``caller``, who may send ``rate``."""
        item = _parse(rate)
        window_seconds = item.get_expiry()
        now = time.time()
        window, elapsed = divmod(now, window_seconds)
        key = f"{self._service}/{policy}/{caller}/{window_seconds}/{window:.0f}"
        used = await self._increase(key, window_seconds)
        return Standing(policy, item.amount, window_seconds, used, max(1, round(window_seconds - elapsed)))

    async def _increase(self, key: str, seconds: int) -> int:
        if time.monotonic() < self._away_until:
            UNCOUNTED.inc()
            return 0
        try:
            return await self._storage.incr(key, seconds)
        except (StorageError, OSError) as error:
            # Not asked again for a while: each request would wait for its own timeout.
            self._away_until = time.monotonic() + _RETRY_REDIS_AFTER_SECONDS
            logger.warning("requests are not counted, Redis is away", error=type(error).__name__)
            UNCOUNTED.inc()
            return 0

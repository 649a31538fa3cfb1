"""The asynchronous Redis client of the APIs, whose lost connections look lost under uvloop too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from kit.settings import JobSettings

_TIMEOUT_SECONDS = 1


class _Connection(redis.Connection):
    """uvloop refuses to write to a closed transport with a bare ``RuntimeError``, which redis-py 8.1 does not expect.

    As a lost connection it is replaced and the command is tried again, like any other.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            await self.disconnect(nowait=True)
            raise redis.ConnectionError(str(error)) from error


def make_async_redis(settings: JobSettings) -> redis.Redis:
    """A client that gives up soon: what Redis holds is had elsewhere, or can be done without."""
    return redis.Redis.from_url(
        settings.redis_url.get_secret_value(),
        connection_class=_Connection,
        retry=Retry(NoBackoff(), 1),
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
    )

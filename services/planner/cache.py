"""Results in Redis, under the key of their request. A fault of Redis is a miss: Postgres has them too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from redis import RedisError

from kit.log import get_logger

if TYPE_CHECKING:
    import redis
    import redis.asyncio

logger = get_logger(__name__)


def _name(key: str) -> str:
    return f"astrolabe:search:{key}"


async def read(client: redis.asyncio.Redis, key: str) -> dict[str, Any] | None:
    """The result of the search ``key``, or None."""
    try:
        document = await client.get(_name(key))
    except RedisError as error:
        logger.warning("cache not read", error=type(error).__name__)
        return None
    return None if document is None else cast("dict[str, Any]", json.loads(document))


def write(client: redis.Redis, key: str, result: str, seconds: int) -> None:
    """Keep the result of the search ``key``, as JSON."""
    try:
        client.set(_name(key), result, ex=seconds)
    except RedisError as error:
        logger.warning("cache not written", error=type(error).__name__)

from __future__ import annotations

import uvloop

from kit.redis_client import make_async_redis
from kit.settings import JobSettings


def test_a_connection_that_was_closed_under_uvloop_is_replaced(redis_url: str) -> None:
    async def main() -> None:
        client = make_async_redis(JobSettings(database_url="postgresql://unused/unused", redis_url=redis_url))
        await client.ping()
        connection = await client.connection_pool.get_connection()
        connection._writer.transport.abort()
        await client.connection_pool.release(connection)
        assert await client.ping()
        await client.aclose()

    uvloop.run(main())

"""Stores somebody else runs, named by ``ASTROLABE_DATABASE_URL`` and ``ASTROLABE_REDIS_URL``: used as they are."""

from __future__ import annotations

import psycopg
import redis

from devstack.errors import DevstackError
from devstack.stores.redis import ping


def check_database(url: str | None) -> None:
    """Ask the named Postgres one query. Raises DevstackError, without the password, when it does not answer."""
    if url is None:
        return
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=5) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise DevstackError(
            f"the Postgres that ASTROLABE_DATABASE_URL names does not answer: {error}; correct the variable, or unset "
            "it to use the embedded one"
        ) from error


def check_redis(url: str | None) -> None:
    """PING the named Redis. Raises DevstackError when it does not answer."""
    if url is None:
        return
    try:
        ping(url)
    except (redis.RedisError, ValueError) as error:
        raise DevstackError(
            f"the Redis that ASTROLABE_REDIS_URL names does not answer: {error}; correct the variable, or unset it to "
            "use the embedded one"
        ) from error


def libpq_url(url: str) -> str:
    """The address without SQLAlchemy's driver name (``postgresql+psycopg://``), as libpq reads it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"

"""Database engines and sessions. One request or one task step is one transaction; nothing else commits."""

from __future__ import annotations

import json
import math
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

import psycopg
from sqlalchemy import Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sqlalchemy import URL, Table
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

_CONNECT_TIMEOUT_SECONDS = 5
_STATEMENT_TIMEOUT_MS = 30_000
_IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
_TRUSTED_SECONDS = 0.1
_RESTS_SINCE = "rests_since"
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A server that is gone without a word is noticed in about 15 s; by default in two hours."""
_CONNECT_ARGS = {
    "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
    **KEEPALIVE,
    "options": (
        f"-c statement_timeout={_STATEMENT_TIMEOUT_MS} "
        f"-c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_TIMEOUT_MS}"
    ),
}


class Base(DeclarativeBase):
    """The one model registry: every service's tables, each in the service's own Postgres schema."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def database_url(url: str) -> URL:
    """The URL with the psycopg 3 driver, whichever way the setting spelt it."""
    return make_url(url).set(drivername="postgresql+psycopg")


def make_engine(url: str, pool_size: int = 5) -> Engine:
    """A synchronous engine, for workers and commands. Make it after the fork, never before."""
    engine = create_engine(database_url(url), pool_size=pool_size, max_overflow=pool_size, connect_args=_CONNECT_ARGS)
    _ping_what_rested(engine)
    return engine


def make_async_engine(url: str, pool_size: int = 10) -> AsyncEngine:
    """An asynchronous engine, for the APIs."""
    engine = create_async_engine(
        database_url(url), pool_size=pool_size, max_overflow=pool_size, connect_args=_CONNECT_ARGS
    )
    _ping_what_rested(engine.sync_engine)
    return engine


def _ping_what_rested(engine: Engine) -> None:
    """Replace connections that were lost while nobody used them. SQLAlchemy's own ``pool_pre_ping`` asks every time.

    In a busy worker or API that is a fourth of what is said to Postgres.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        rests_since = record.info.get(_RESTS_SINCE, math.inf)
        if time.monotonic() - rests_since > _TRUSTED_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except psycopg.Error as error:
                raise InvalidatePoolError from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Session]:
    """One transaction: committed at the end of the block, rolled back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@asynccontextmanager
async def async_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """One transaction of an API request."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield session


def insert_rows(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Insert rows of one shape, skipping those that conflict; the first primary key of those that went in.

    All rows travel as one JSON parameter: a VALUES list of thousands of parameters costs ten times as much to prepare.
    """
    if not rows:
        return []
    table = cast("Table", model.__table__)
    columns = ", ".join(rows[0])
    returned = next(iter(table.primary_key)).name
    statement = text(
        f"INSERT INTO {table.fullname} ({columns}) SELECT {columns} "  # noqa: S608 - names of our own columns
        f"FROM jsonb_populate_recordset(NULL::{table.fullname}, CAST(:rows AS jsonb)) "
        f"ON CONFLICT DO NOTHING RETURNING {returned}"
    )
    document = json.dumps([dict(row) for row in rows], default=str, ensure_ascii=False)
    return session.execute(statement, {"rows": document}).scalars().all()


async def ping(engine: AsyncEngine) -> None:
    """Raise unless the database answers a query."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

"""Who calls: API keys, kept only as hashes, each with an owner and scopes.

A service bound to loopback in the development profile also answers without a key, as the owner ``local``.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import Request
from sqlalchemy import ARRAY, DateTime, Text, func, select
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, async_transaction
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

SCOPES = ("plans:read", "plans:write", "solve:read", "solve:write", "admin")
_PREFIX_CHARACTERS = 8


class ApiKey(Base):
    """A key's hash and what it may do. ``prefix`` finds the row; the hash proves the key."""

    __tablename__ = "api_keys"
    __table_args__ = ({"schema": "kit"},)

    prefix: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    owner: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: whose jobs it sees, and what it may do."""

    owner: str
    scopes: frozenset[str]


LOCAL = Principal("local", frozenset(SCOPES))


def create_key(session: Session, owner: str, scopes: Sequence[str], expires_at: datetime | None = None) -> str:
    """Store a new key and return it; this is the only time it can be seen."""
    prefix, secret = secrets.token_hex(_PREFIX_CHARACTERS // 2), secrets.token_urlsafe(32)
    key = f"astro_{prefix}_{secret}"
    session.add(ApiKey(prefix=prefix, sha256=_hash(key), owner=owner, scopes=list(scopes), expires_at=expires_at))
    return key


def _hash(key: str) -> str:
    """Keys are 256 random bits, so one fast hash is enough: there is no dictionary to try."""
    return hashlib.sha256(key.encode()).hexdigest()


async def authenticate(engine: AsyncEngine, key: str) -> Principal:
    """The principal of ``key``. Raises ``Problem`` 401 for an unknown, expired or revoked one, all alike."""
    prefix = key.removeprefix("astro_")[:_PREFIX_CHARACTERS]
    async with async_transaction(engine) as session:
        row = await session.scalar(select(ApiKey).where(ApiKey.prefix == prefix)) if prefix.isalnum() else None
    expected = row.sha256 if row else _hash("")
    valid = hmac.compare_digest(expected, _hash(key))
    if row is None or not valid or row.revoked_at or (row.expires_at and row.expires_at <= datetime.now(UTC)):
        raise _unauthorised("The API key is unknown, expired or revoked.")
    return Principal(row.owner, frozenset(row.scopes))


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unauthorized", "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def require(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: the caller, who must hold ``scope``. The application's state says whether a key may be absent."""

    async def principal(request: Request) -> Principal:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if not scheme and request.app.state.anonymous_is_local:
            return LOCAL
        if scheme.lower() != "bearer" or not key:
            raise _unauthorised("Send the header `Authorization: Bearer KEY`; `astrolabe-admin keys create` makes one.")
        caller = await authenticate(request.app.state.engine, key.strip())
        if scope not in caller.scopes and "admin" not in caller.scopes:
            raise Problem(403, "forbidden", "Forbidden", f"This key lacks the scope {scope!r}.")
        return caller

    return principal

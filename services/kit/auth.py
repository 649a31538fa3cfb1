"""Who calls: API keys, kept only as hashes, each with an owner and scopes.

A service bound to loopback in the development profile also answers without a key, as the owner ``local``. The gate
(``kit.gate``) reads the key; ``kit.web.caller`` is what endpoints ask of it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, BigInteger, DateTime, Text, bindparam, func, select
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.orm import Session

SCOPES = ("plans:read", "plans:write", "solve:read", "solve:write", "admin")
PREFIX_CHARACTERS = 8
_KEY = re.compile(rf"astro_([0-9a-f]{{{PREFIX_CHARACTERS}}})_[A-Za-z0-9_-]+")


class ApiKey(Base):
    """A key's hash and what it may do. ``prefix`` finds the row; the hash proves the key."""

    __tablename__ = "api_keys"
    __table_args__ = ({"schema": "kit"},)

    prefix: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    owner: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    rate: Mapped[str | None] = mapped_column(comment="requests it may send, as 100/second; null: the setting")
    concurrent_jobs: Mapped[int | None] = mapped_column(comment="queued and running at once; null: no quota")
    money_usd_per_day: Mapped[float | None] = mapped_column(comment="null: no quota")
    tokens_per_day: Mapped[int | None] = mapped_column(BigInteger, comment="null: no quota")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


_BY_PREFIX = select(ApiKey.__table__).where(ApiKey.prefix == bindparam("prefix"))


@dataclass(frozen=True, slots=True)
class Quota:
    """What the jobs of a key may take at most; None: as much as they want."""

    concurrent_jobs: int | None = None
    money_usd_per_day: float | None = None
    tokens_per_day: int | None = None


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a new key may do: its rate (None: the service's setting) and its quota."""

    rate: str | None = None
    quota: Quota = NO_QUOTA


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: whose jobs it sees, and what it may do."""

    owner: str
    scopes: frozenset[str]
    key: str | None = None
    """The prefix of its API key; None for the local caller of the development profile."""
    rate: str | None = None
    quota: Quota = NO_QUOTA


LOCAL = Principal("local", frozenset(SCOPES))


def create_key(
    session: Session,
    owner: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    limits: KeyLimits | None = None,
) -> str:
    """Store a new key and return it; this is the only time it can be seen."""
    prefix, secret = secrets.token_hex(PREFIX_CHARACTERS // 2), secrets.token_urlsafe(32)
    key = f"astro_{prefix}_{secret}"
    limits = limits or KeyLimits()
    row = ApiKey(prefix=prefix, sha256=_hash(key), owner=owner, scopes=list(scopes), expires_at=expires_at)
    row.rate = limits.rate
    for name, value in asdict(limits.quota).items():
        setattr(row, name, value)
    session.add(row)
    return key


def prefix_of(key: str) -> str:
    """The part of a key that finds its row."""
    return key.removeprefix("astro_")[:PREFIX_CHARACTERS]


def shown_prefix(authorization: str) -> str | None:
    """What of a refused header may be kept: the prefix, if the rest looks like one of our keys."""
    found = _KEY.fullmatch(authorization.partition(" ")[2].strip())
    return found[1] if found else None


def _hash(key: str) -> str:
    """Keys are 256 random bits, so one fast hash is enough: there is no dictionary to try."""
    return hashlib.sha256(key.encode()).hexdigest()


async def authenticate(autocommit: AsyncEngine, key: str) -> Principal:
    """The principal of ``key``. Raises ``Problem`` 401 for an unknown, expired or revoked one, all alike.

    Every request asks the database, so that a revoked key ends at once; an engine without transactions spares two of
    three round trips.
    """
    prefix = prefix_of(key)
    row = None
    if prefix.isalnum():
        async with autocommit.connect() as connection:
            row = (await connection.execute(_BY_PREFIX, {"prefix": prefix})).one_or_none()
    expected = row.sha256 if row else _hash("")
    valid = hmac.compare_digest(expected, _hash(key))
    if row is None or not valid or row.revoked_at or (row.expires_at and row.expires_at <= datetime.now(UTC)):
        raise unauthorised("The API key is unknown, expired or revoked.")
    quota = Quota(row.concurrent_jobs, row.money_usd_per_day, row.tokens_per_day)
    return Principal(row.owner, frozenset(row.scopes), prefix, row.rate, quota)


def unauthorised(detail: str) -> Problem:
    """The 401."""
    return Problem(401, "unauthorized", "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})

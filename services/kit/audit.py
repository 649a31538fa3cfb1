"""Who did what and when: one row for each key made or revoked, submission, cancel, webhook change and refused access.

A row is written in the transaction of what it tells, so that it is there exactly when that has happened. No row holds a
secret: keys appear by their prefix.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import DateTime, Index, func, insert, select
from sqlalchemy.orm import Mapped, mapped_column
from uuid_utils.compat import uuid7

from kit.db import Base

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

_TARGET_CHARACTERS = 200


class AuditEntry(Base):
    """One deed. ``owner`` is empty where nobody was recognised; ``api_key`` is null where it was done without one."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_owner_id", "owner", "id"), {"schema": "kit"})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    owner: Mapped[str]
    api_key: Mapped[str | None]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    request_id: Mapped[str | None]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: an owner (empty: nobody was recognised) by one of its keys, in answer to a request."""

    owner: str
    api_key: str | None = None
    request_id: str | None = None


def record(session: Session, actor: Actor, action: str, target: str, outcome: str = "done") -> None:
    """Keep, if the transaction commits, an action such as ``job.submit``, what it was done to, and what came of it."""
    values = {"id": uuid7(), "action": action, "target": target[:_TARGET_CHARACTERS], "outcome": outcome}
    session.connection().execute(insert(AuditEntry.__table__).values(**asdict(actor), **values))  # type: ignore[arg-type]


def entries(session: Session, *, owner: str | None, action: str | None, limit: int) -> Sequence[AuditEntry]:
    """The newest entries, oldest of them first; ``action`` may be a whole family, such as ``key``."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if owner is not None:
        query = query.where(AuditEntry.owner == owner)
    if action is not None:
        query = query.where((AuditEntry.action == action) | AuditEntry.action.startswith(f"{action}.", autoescape=True))
    return session.scalars(query).all()[::-1]

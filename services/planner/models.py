"""The planner's tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Search(Base):
    """The result of a search under the fingerprint of its canonical request: computed once, read by many plans."""

    __tablename__ = "searches"
    __table_args__ = ({"schema": "planner"},)

    key: Mapped[str] = mapped_column(primary_key=True)
    result: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Plan(Base):
    """A job of the planner, and the search that answers it."""

    __tablename__ = "plans"
    __table_args__ = ({"schema": "planner"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    search_key: Mapped[str] = mapped_column(index=True)

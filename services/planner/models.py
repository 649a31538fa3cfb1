"""The planner's tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Search(Base):
    """The result of a search under the fingerprint of its canonical request: computed once, read by many plans."""

    __tablename__ = "searches"
    __table_args__ = (Index("ix_searches_created_at", "created_at"), {"schema": "planner"})

    key: Mapped[str] = mapped_column(primary_key=True)
    result: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Plan(Base):
    """A job of the planner, and the search that answers it."""

    __tablename__ = "plans"
    __table_args__ = ({"schema": "planner"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    search_key: Mapped[str] = mapped_column(index=True)


class Shard(Base):
    """A share of a search that is split: who works on it, and in the end its part. Gone once the parts are joined."""

    __tablename__ = "shards"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    part: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))

    __table_args__ = (
        CheckConstraint("part IS NULL OR lease_until IS NULL", name="kept_is_free"),
        CheckConstraint("part IS NULL OR attempt > 0", name="kept_was_tried"),
        {"schema": "planner"},
    )


class FittedCalibration(Base):
    """Factors on a default calibration, fitted to an owner's measured runs."""

    __tablename__ = "calibrations"
    __table_args__ = (
        Index("ix_calibrations_owner_id", "owner", "id"),
        Index("uq_calibrations_idempotency_key", "owner", "idempotency_key", unique=True),
        {"schema": "planner"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    gpu: Mapped[str]
    stack: Mapped[str]
    runs: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    result: Mapped[dict[str, Any]] = mapped_column(JSONB)
    catalog_digest: Mapped[str]
    idempotency_key: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

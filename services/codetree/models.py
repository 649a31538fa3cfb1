"""Codetree's tables: the nodes of an episode, and every reply and execution that was paid for."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Episode(Base):
    """A job of codetree: its result when it has ended."""

    __tablename__ = "episodes"
    __table_args__ = ({"schema": "codetree"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class EpisodeNode(Base):
    """A node of the tree as it stands; ``path`` is its address, such as ``0.2.1``."""

    __tablename__ = "nodes"
    __table_args__ = ({"schema": "codetree"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("codetree.episodes.job_id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    node: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now()
    )


class Recorded(Base):
    """What came of one call, under the key the engine asks for it by. Never written twice.

    ``kind``: a model's reply or failure, a program's execution, or what a hosted function answered it.
    """

    __tablename__ = "recorded"
    __table_args__ = ({"schema": "codetree"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("codetree.episodes.job_id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

"""The tables of the job life cycle."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base
from kit.jobs.states import ACTIVE, HELD, TERMINAL, JobStatus


def _sql_list(states: frozenset[JobStatus]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


ACTIVE_SQL = f"status IN ({_sql_list(ACTIVE)})"
_HELD_SQL = f"status IN ({_sql_list(HELD)})"
_TERMINAL_SQL = f"status IN ({_sql_list(TERMINAL)})"
MIRRORED = (
    "status",
    "attempt",
    "worker",
    "lease_until",
    "progress",
    "error",
    "started_at",
    "finished_at",
    "cancel_requested_at",
)
"""What a job that follows another has from it."""


class Batch(Base):
    """Many requests accepted as one. ``finished`` counts its jobs that have ended, and numbers their results."""

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("finished <= accepted", name="finished"),
        Index("ix_batches_owner_id", "service", "owner", "id"),
        Index("uq_batches_idempotency_key", "service", "owner", "idempotency_key", unique=True),
        Index(
            "ix_batches_cancelling",
            "id",
            postgresql_where=text("cancel_requested_at IS NOT NULL AND finished_at IS NULL"),
        ),
        {"schema": "kit"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    owner: Mapped[str]
    idempotency_key: Mapped[str | None]
    body_sha256: Mapped[str]
    total: Mapped[int]
    accepted: Mapped[int]
    finished: Mapped[int] = mapped_column(server_default=text("0"))
    duplicates: Mapped[int]
    rejections: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    cancel_requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Job(Base):
    """One accepted request. The row is the truth about it; a queue message is only a doorbell.

    A job with a ``leader_id`` asks for what an earlier, still active job (its leader) already computes. It is never
    dispatched: each change of the leader is written to it in the same transaction.
    """

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service: Mapped[str]
    owner: Mapped[str]
    api_key: Mapped[str | None] = mapped_column(comment="prefix of the key that asked for it")
    status: Mapped[str] = mapped_column(server_default=JobStatus.QUEUED)
    spec: Mapped[dict[str, Any]] = mapped_column(JSONB)
    spec_sha256: Mapped[str]
    active_key: Mapped[str | None]
    leader_id: Mapped[UUID | None] = mapped_column(ForeignKey("kit.jobs.id", ondelete="SET NULL"))
    labels: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'"))
    external_id: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    request_id: Mapped[str | None]
    traceparent: Mapped[str | None]
    webhook_url: Mapped[str | None]
    money_limit_usd: Mapped[float | None] = mapped_column(comment="what it may spend at most by its own limit")
    token_limit: Mapped[int | None] = mapped_column(BigInteger, comment="what it may spend at most by its own limit")
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("kit.batches.id", ondelete="SET NULL"))
    batch_seq: Mapped[int | None] = mapped_column(comment="counts the batch's jobs in the order of their ends")
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    max_attempts: Mapped[int]
    lease_expiries: Mapped[int] = mapped_column(server_default=text("0"))
    worker: Mapped[str | None]
    lease_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    dispatched_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    event_seq: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (
        CheckConstraint(f"status IN ({_sql_list(frozenset(JobStatus))})", name="status"),
        CheckConstraint(f"({_TERMINAL_SQL}) = (finished_at IS NOT NULL)", name="finished"),
        CheckConstraint(f"({_HELD_SQL}) = (lease_until IS NOT NULL)", name="lease"),
        CheckConstraint("status <> 'failed' OR error IS NOT NULL", name="failed_has_error"),
        CheckConstraint("attempt BETWEEN 0 AND max_attempts", name="attempt"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        Index("uq_jobs_batch_seq", "batch_id", "batch_seq", unique=True, postgresql_where=text("batch_id IS NOT NULL")),
        Index(
            "uq_jobs_active_key",
            "service",
            "active_key",
            unique=True,
            postgresql_where=text(f"leader_id IS NULL AND {ACTIVE_SQL}"),
        ),
        Index(
            "uq_jobs_external_id",
            "service",
            "owner",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        Index(
            "uq_jobs_idempotency_key",
            "service",
            "owner",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
        Index("ix_jobs_owner_id", "service", "owner", "id"),
        Index("ix_jobs_leader_id", "leader_id", postgresql_where=text("leader_id IS NOT NULL")),
        Index("ix_jobs_active_followers", "service", postgresql_where=text(f"leader_id IS NOT NULL AND {ACTIVE_SQL}")),
        Index(
            "ix_jobs_lease_until", "lease_until", postgresql_where=text("leader_id IS NULL AND lease_until IS NOT NULL")
        ),
        Index("ix_jobs_api_key_active", "api_key", postgresql_where=text(f"api_key IS NOT NULL AND {ACTIVE_SQL}")),
        Index("ix_jobs_queued", "dispatched_at", postgresql_where=text("status = 'queued' AND leader_id IS NULL")),
        {"schema": "kit"},
    )


def in_states(states: Iterable[JobStatus]) -> ColumnElement[bool]:
    """Whether a job is in one of ``states``.

    They are spelt out in the statement: a plan made for parameters could not use the partial indexes.
    """
    return Job.status.in_([literal_column(f"'{state}'") for state in sorted(states)])


ENDINGS = Table("endings", Base.metadata, Column("job_id", Uuid, nullable=False), schema="kit")
"""Jobs that have ended and are not in the totals yet (``kit.jobs.tallies``). Each end writes here, so it has no key."""


class OutboxMessage(Base):
    """A doorbell still to be rung: written with the job's change, removed when the broker has taken it."""

    __tablename__ = "outbox"
    __table_args__ = ({"schema": "kit"},)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), index=True)


class JobEvent(Base):
    """Something that happened to a job. ``seq`` counts from 1 within the job, without gaps, in commit order."""

    __tablename__ = "job_events"
    __table_args__ = (
        Index("uq_job_events_key", "job_id", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
        {"schema": "kit"},
    )

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    key: Mapped[str | None] = mapped_column(comment="names what happened, so that a resumed attempt logs it once")
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

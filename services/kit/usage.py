"""What jobs spend that costs money: one row for each job and day (UTC), so that a quota is one sum."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base
from kit.jobs.models import Job

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TODAY = text("(now() AT TIME ZONE 'UTC')::date")


class JobUsage(Base):
    """Tokens and US dollars a job spent on one day. An unknown price counts as nothing."""

    __tablename__ = "job_usage"
    __table_args__ = (Index("ix_job_usage_api_key_day", "api_key", "day"), {"schema": "kit"})

    job_id: Mapped[UUID] = mapped_column(ForeignKey("kit.jobs.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True, server_default=TODAY)
    api_key: Mapped[str | None]
    tokens: Mapped[int] = mapped_column(BigInteger)
    money_usd: Mapped[float]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent."""

    tokens: int
    money_usd: float


def add_usage(session: Session, job_id: UUID, tokens: int, money_usd: float) -> None:
    """Count what a job has just spent, in the transaction that records what it was spent on."""
    row = select(Job.id, Job.api_key, literal(tokens), literal(money_usd)).where(Job.id == job_id)
    statement = insert(JobUsage).from_select(["job_id", "api_key", "tokens", "money_usd"], row)
    sums = {
        "tokens": JobUsage.tokens + statement.excluded.tokens,
        "money_usd": JobUsage.money_usd + statement.excluded.money_usd,
    }
    session.execute(statement.on_conflict_do_update(index_elements=["job_id", "day"], set_=sums))


def settle_usage(session: Session, job_id: UUID, tokens: int, money_usd: float) -> None:
    """Add what is still missing of the job's whole: work that was charged although its end was lost."""
    sums = select(func.coalesce(func.sum(JobUsage.tokens), 0), func.coalesce(func.sum(JobUsage.money_usd), 0.0)).where(
        JobUsage.job_id == job_id
    )
    known_tokens, known_money_usd = session.execute(sums).one()
    missing = max(0, tokens - int(known_tokens)), max(0.0, money_usd - float(known_money_usd))
    if any(missing):
        add_usage(session, job_id, *missing)


def spent_today(session: Session, api_key: str) -> Spent:
    """What the jobs under the key have spent since midnight UTC."""
    sums = select(func.coalesce(func.sum(JobUsage.tokens), 0), func.coalesce(func.sum(JobUsage.money_usd), 0.0)).where(
        JobUsage.api_key == api_key, JobUsage.day == TODAY
    )
    tokens, money_usd = session.execute(sums).one()
    return Spent(int(tokens), float(money_usd))

"""The shards of searches that are split: rows under a job, each worked by one worker at a time under a lease.

A shard is fenced like a job: what a worker writes holds only while its attempt is the last. Whoever leads the job
joins the parts, in the transaction that ends it; so no part is joined twice, and those that were kept are not searched
again when the leader is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, delete, func, select, update

from kit.db import insert_rows
from kit.jobs import ACTIVE, TERMINAL, Claim, ClaimLostError, Job, JobStatus
from planner.catalog import digest
from planner.engine import ENGINE_VERSION, Part
from planner.models import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from uuid import UUID

    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class ShardClaim:
    """A worker's hold on a shard."""

    job_id: UUID
    number: int
    attempt: int

    @property
    def holds(self) -> ColumnElement[bool]:
        """Whether the row is still this attempt's to write."""
        same = (Shard.job_id == self.job_id) & (Shard.number == self.number) & (Shard.attempt == self.attempt)
        return same & Shard.part.is_(None)


def split(session: Session, job_id: UUID, count: int) -> int:
    """Make the shards of a job, unless an earlier attempt of this version made them. Returns how many there are.

    Those of jobs that ended otherwise than by joining them are removed on the way.
    """
    ended = select(Job.id).where(Job.id == Shard.job_id, Job.status.in_(TERMINAL)).exists()
    session.execute(delete(Shard).where(ended | ((Shard.job_id == job_id) & (Shard.version != _version()))))
    made = session.scalar(select(func.count()).where(Shard.job_id == job_id)) or 0
    if not made:
        shared = {"job_id": job_id, "version": _version(), "attempt": 0}
        insert_rows(session, Shard, [{**shared, "number": number} for number in range(count)])
    return made or count


def _version() -> str:
    """Parts are joined only when the same engine and catalogue made them: workers may be of unlike versions."""
    return f"{ENGINE_VERSION} {digest()}"


def count(session: Session, job_id: UUID) -> int:
    """How many shards the job has."""
    return session.scalar(select(func.count()).where(Shard.job_id == job_id)) or 0


def spec(session: Session, job_id: UUID) -> dict[str, Any] | None:
    """What a job with shards asks, while there is something to be done for it."""
    return session.scalar(select(Job.spec).where(Job.id == job_id, Job.status.in_(ACTIVE)))


def claim(
    session: Session, job_id: UUID, worker: str, lease: timedelta, max_attempts: int | None = None
) -> ShardClaim | None:
    """Take a shard that nobody works on, or None when there is none; with ``max_attempts`` none tried so often."""
    free = (
        (Shard.version == _version())
        & Shard.part.is_(None)
        & (Shard.lease_until.is_(None) | (Shard.lease_until < func.now()))
    )
    if max_attempts is not None:
        free &= Shard.attempt < max_attempts
    wanted = select(Job.id).where(Job.id == job_id, Job.status.in_(ACTIVE - {JobStatus.CANCELLING})).exists()
    query = select(Shard).where(Shard.job_id == job_id, free, wanted).order_by(Shard.attempt, Shard.number).limit(1)
    shard = session.scalar(query.with_for_update(skip_locked=True))
    if shard is None:
        return None
    shard.attempt += 1
    shard.worker = worker
    session.execute(update(Shard).where(_is(shard)).values(lease_until=func.now() + lease))
    return ShardClaim(job_id, shard.number, shard.attempt)


def _is(shard: Shard) -> ColumnElement[bool]:
    return (Shard.job_id == shard.job_id) & (Shard.number == shard.number)


def renew(session: Session, held: ShardClaim, lease: timedelta) -> JobStatus:
    """Extend the lease. Returns the job's status. Raises ``ClaimLostError`` when the work is not wanted any more."""
    status = session.scalar(
        update(Shard)
        .where(held.holds, Job.id == Shard.job_id, Job.status.in_(ACTIVE))
        .values(lease_until=func.now() + lease)
        .returning(Job.status)
    )
    if status is None:
        raise ClaimLostError(Claim(held.job_id, held.attempt))
    return JobStatus(status)


def keep(session: Session, held: ShardClaim, part: Part) -> bool:
    """Keep what the shard holds. Returns whether the shard was still this attempt's."""
    values = {"part": part.model_dump(mode="json"), "lease_until": None}
    return session.scalar(update(Shard).where(held.holds).values(values).returning(Shard.number)) is not None


def give_back(session: Session, held: ShardClaim) -> None:
    """Let another worker try."""
    session.execute(update(Shard).where(held.holds).values(lease_until=None))


def done(session: Session, job_id: UUID) -> int:
    """How many shards are kept."""
    return session.scalar(select(func.count()).where(Shard.job_id == job_id, Shard.part.is_not(None))) or 0


def kept(session: Session, job_id: UUID) -> Sequence[Shard]:
    """The job's shards, in order."""
    return session.scalars(select(Shard).where(Shard.job_id == job_id).order_by(Shard.number)).all()


def drop(session: Session, job_id: UUID) -> None:
    """Forget the shards of a job whose parts were joined."""
    session.execute(delete(Shard).where(Shard.job_id == job_id))

"""Every query of batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from uuid_utils.compat import uuid7

from kit import audit
from kit.jobs.batch_counts import note_finished
from kit.jobs.bulk import submit_many
from kit.jobs.mass_cancel import cancel_many
from kit.jobs.models import Batch, Job, in_states
from kit.jobs.states import ACTIVE, JobStatus
from kit.jobs.submit import key_reused
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.audit import Actor
    from kit.batches.lines import Line, Received

_CHUNK = 1000
_CANCELS_AT_ONCE = 1000


def accept(
    session: Session,
    service: str,
    actor: Actor,
    received: Received,
    computed: Callable[[Session, Collection[str]], Collection[str]],
    register: Callable[[Session, Sequence[tuple[UUID, Line]]], None],
) -> Batch:
    """Make the lines jobs of a new batch, all in this transaction; under a known idempotency key, answer that batch.

    ``computed`` says which active keys have their result at hand; ``register`` writes the service's own rows.
    """
    lines, rejections, owner = received.lines, received.rejections, actor.owner
    if (earlier := _earlier(session, service, owner, received)) is not None:
        audit.record(session, actor, "batch.submit", f"{service} batch {earlier.id}", "repeated")
        return earlier
    batch = Batch(
        id=uuid7(),
        service=service,
        owner=owner,
        total=len(lines) + len(rejections),
        idempotency_key=received.idempotency_key,
        body_sha256=received.body_sha256,
    )
    batch.accepted = batch.duplicates = batch.finished = 0
    batch.rejections = []
    session.add(batch)
    session.flush()
    refused = list(rejections)
    born_finished: list[UUID] = []
    for start in range(0, len(lines), _CHUNK):
        chunk = lines[start : start + _CHUNK]
        submissions = [replace(line.submission, batch_id=batch.id) for line in chunk]
        outcomes = submit_many(session, submissions, lambda keys: computed(session, keys))
        register(session, [(o.job_id, line) for line, o in zip(chunk, outcomes, strict=True) if o.created and o.job_id])
        born_finished += [o.job_id for o in outcomes if o.created and o.finished and o.job_id]
        batch.accepted += sum(outcome.created for outcome in outcomes)
        batch.duplicates += sum(not outcome.created and outcome.problem is None for outcome in outcomes)
        refused += [line.rejected(o.problem) for line, o in zip(chunk, outcomes, strict=True) if o.problem]
    refused.sort(key=lambda rejection: rejection.line)
    batch.rejections = [rejection.model_dump(mode="json") for rejection in refused]
    session.flush()
    if born_finished:
        note_finished(session, [(job_id, batch.id) for job_id in born_finished])
        session.refresh(batch)
    elif not batch.accepted:
        batch.finished_at = datetime.now(UTC)
        session.flush()
    outcome = f"{batch.accepted} accepted, {batch.duplicates} repeated, {len(batch.rejections)} refused"
    audit.record(session, actor, "batch.submit", f"{service} batch {batch.id}", outcome)
    return batch


def _earlier(session: Session, service: str, owner: str, received: Received) -> Batch | None:
    """The batch that was sent under the same key. Raises ``Problem`` 422 when its body was another."""
    key = received.idempotency_key
    if key is None:
        return None
    # One at a time under one key: a repeat that overlaps the first waits for it, and then finds it.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{service}/{owner}/{key}", 0))))
    query = select(Batch).where(Batch.service == service, Batch.owner == owner, Batch.idempotency_key == key)
    batch = session.scalar(query)
    if batch is not None and batch.body_sha256 != received.body_sha256:
        raise key_reused("Idempotency-Key", key, f"batch {batch.id}", 422)
    return batch


def get(session: Session, service: str, owner: str, batch_id: UUID) -> Batch:
    """The owner's batch. Raises ``Problem`` 404, also for another owner's."""
    query = select(Batch).where(Batch.id == batch_id, Batch.service == service, Batch.owner == owner)
    batch = session.scalar(query)
    if batch is None:
        raise Problem(404, "not-found", "Not found", f"There is no batch {batch_id}.")
    return batch


def counts(session: Session, batch_id: UUID) -> dict[JobStatus, int]:
    """How many of the batch's jobs are in each state."""
    query = select(Job.status, func.count()).where(Job.batch_id == batch_id).group_by(Job.status)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {status: found.get(status, 0) for status in JobStatus}


def ended(session: Session, batch_id: UUID, after: int, limit: int) -> Sequence[Job]:
    """The batch's jobs that ended after number ``after``, in the order of their ends."""
    query = select(Job).where(Job.batch_id == batch_id, Job.batch_seq > after).order_by(Job.batch_seq).limit(limit)
    return session.scalars(query).all()


def request_cancel(session: Session, batch_id: UUID) -> None:
    """Ask for the end of every job of the batch; the relay does it, a thousand at a time."""
    session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.finished_at.is_(None))
        .values(cancel_requested_at=func.coalesce(Batch.cancel_requested_at, func.now()))
    )


def cancel_some(session: Session) -> int:
    """Cancel some of the jobs whose batch is to end. Returns how many: none means that there are no more."""
    marked = select(Batch.id).where(Batch.cancel_requested_at.is_not(None), Batch.finished_at.is_(None))
    still_active = in_states(ACTIVE - {JobStatus.CANCELLING})
    query = select(Job.id).where(Job.batch_id.in_(marked), still_active).order_by(Job.id).limit(_CANCELS_AT_ONCE)
    job_ids = session.scalars(query.with_for_update(skip_locked=True)).all()
    if job_ids:
        cancel_many(session, job_ids)
    return len(job_ids)

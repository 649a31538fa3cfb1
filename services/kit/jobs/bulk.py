"""Accept many jobs in a few statements; a line that needs more care goes the way of a single request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from kit import quotas
from kit.canonical import sha256
from kit.db import insert_rows
from kit.jobs.announcement import announce
from kit.jobs.models import Job, JobEvent
from kit.jobs.outbox import ring
from kit.jobs.states import ACTIVE, JobStatus
from kit.jobs.submit import MIRRORED, Submission, admit, job_row, must_match
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session


_UNSET: dict[str, Any] = {
    "status": JobStatus.QUEUED,
    "leader_id": None,
    "attempt": 0,
    "worker": None,
    "lease_until": None,
    "progress": None,
    "started_at": None,
    "finished_at": None,
    "cancel_requested_at": None,
}


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one request: a new job, an earlier one, or a problem."""

    job_id: UUID | None = None
    created: bool = False
    finished: bool = False
    problem: Problem | None = None


@dataclass(slots=True)
class _Row:
    position: int
    submission: Submission
    row: dict[str, Any]


def submit_many(
    session: Session,
    submissions: Sequence[Submission],
    computed: Callable[[Collection[str]], Collection[str]] = lambda _: (),
) -> list[BulkOutcome]:
    """Accept the submissions, all of one service and owner, in their order.

    ``computed`` says for which of some active keys the result is at hand; such jobs are born succeeded.
    """
    outcomes: list[BulkOutcome] = [BulkOutcome()] * len(submissions)
    fresh = _without_earlier(session, submissions, outcomes)
    keys = {item.submission.active_key for item in fresh if item.submission.active_key}
    finished = frozenset(computed(keys))
    fresh = _with_room(session, fresh, finished, outcomes)
    leaders = _active_leaders(session, submissions[0].service, keys - finished) if submissions else {}
    births = [_born(item, finished, leaders) for item in fresh]
    inserted = _insert(session, births)
    for item in births:
        if item.row["id"] in inserted:
            born_finished = item.row.get("status") == JobStatus.SUCCEEDED
            outcomes[item.position] = BulkOutcome(item.row["id"], created=True, finished=born_finished)
        else:
            outcomes[item.position] = _single(session, item.submission)
    _announce(session, [item.row for item in births if item.row["id"] in inserted])
    return outcomes


def _without_earlier(session: Session, submissions: Sequence[Submission], outcomes: list[BulkOutcome]) -> list[_Row]:
    """The submissions that are new by their external id; the others' outcomes are filled in."""
    known = _earlier_jobs(session, submissions)
    fresh: list[_Row] = []
    for position, submission in enumerate(submissions):
        fingerprint = sha256(submission.spec)
        earlier = known.get(submission.external_id) if submission.external_id is not None else None
        if earlier is None:
            item = _Row(position, submission, job_row(submission, fingerprint))
            fresh.append(item)
            if submission.external_id is not None:
                known[submission.external_id] = Job(id=item.row["id"], spec_sha256=fingerprint)
            continue
        try:
            must_match(earlier, submission, fingerprint)
            outcomes[position] = BulkOutcome(earlier.id)
        except Problem as problem:
            outcomes[position] = BulkOutcome(problem=problem)
    return fresh


def _earlier_jobs(session: Session, submissions: Sequence[Submission]) -> dict[str, Job]:
    ids = [submission.external_id for submission in submissions if submission.external_id is not None]
    if not ids:
        return {}
    first = submissions[0]
    query = select(Job.id, Job.external_id, Job.spec_sha256).where(
        Job.service == first.service, Job.owner == first.owner, Job.external_id.in_(ids)
    )
    return {row.external_id: Job(id=row.id, spec_sha256=row.spec_sha256) for row in session.execute(query)}


def _with_room(
    session: Session, fresh: list[_Row], finished: Collection[str], outcomes: list[BulkOutcome]
) -> list[_Row]:
    """Those that the key's quota leaves room for, in their order; the others' outcomes are filled in."""
    room = quotas.room(session, fresh[0].submission.api_key, fresh[0].submission.quota) if fresh else None
    if room is None:
        return fresh
    admitted: list[_Row] = []
    for item in fresh:
        submission = item.submission
        problem = None if submission.active_key in finished else room.take(submission.spending)
        if problem is None:
            admitted.append(item)
        else:
            outcomes[item.position] = BulkOutcome(problem=quotas.refused(problem))
    return admitted


def _active_leaders(session: Session, service: str, keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """What followers take over from the jobs that already compute ``keys``; those jobs cannot end before we commit."""
    if not keys:
        return {}
    query = (
        select(Job)
        .where(Job.service == service, Job.active_key.in_(keys), Job.leader_id.is_(None), Job.status.in_(ACTIVE))
        .order_by(Job.id)
        .with_for_update(read=True)
    )
    return {
        str(job.active_key): {"leader_id": job.id, **{name: getattr(job, name) for name in MIRRORED}}
        for job in session.scalars(query)
    }


def _born(item: _Row, finished: Collection[str], leaders: dict[str, dict[str, Any]]) -> _Row:
    """The row as it is born: finished, following a leader, or leading those of its key that come after it."""
    key = item.submission.active_key
    if key in finished:
        now = datetime.now(UTC)
        item.row |= {"status": JobStatus.SUCCEEDED, "started_at": now, "finished_at": now, "event_seq": 2}
    elif key is not None and key in leaders:
        item.row |= leaders[key]
    elif key is not None:
        leaders[key] = {"leader_id": item.row["id"]}
    return item


def _insert(session: Session, births: Sequence[_Row]) -> frozenset[UUID]:
    """Insert the leaders, then those who follow one that is there. Returns the ids that went in."""
    now = datetime.now(UTC)
    rows = [{"created_at": now, **_UNSET, **item.row} for item in births]
    inserted = set(insert_rows(session, Job, [row for row in rows if row["leader_id"] is None]))
    of_this_call = {row["id"] for row in rows}
    followers = [row for row in rows if row["leader_id"] in inserted or row["leader_id"] not in {None, *of_this_call}]
    inserted.update(insert_rows(session, Job, followers))
    return frozenset(inserted)


def _single(session: Session, submission: Submission) -> BulkOutcome:
    """A request that met another one on its way in."""
    try:
        accepted = admit(session, replace(submission, finished=False))
    except Problem as problem:
        return BulkOutcome(problem=problem)
    return BulkOutcome(accepted.job.id, created=accepted.created)


def _announce(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    events: list[dict[str, Any]] = []
    waiting: list[UUID] = []
    for row in rows:
        status = row.get("status", JobStatus.QUEUED)
        events.append({"job_id": row["id"], "seq": 1, "type": "job.created", "data": {"status": status}})
        if status == JobStatus.SUCCEEDED:
            data = {"status": status, "cached": True}
            events.append({"job_id": row["id"], "seq": 2, "type": "job.succeeded", "data": data})
        elif row.get("leader_id") is None:
            waiting.append(row["id"])
    insert_rows(session, JobEvent, [{**event, "created_at": datetime.now(UTC)} for event in events])
    ring(session, waiting)
    announce(session, [row["id"] for row in rows if row["webhook_url"] and row.get("finished_at")])

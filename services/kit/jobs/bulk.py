"""Accept many jobs in a few statements; a line that needs more care goes the way of a single request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import text

from kit import quotas
from kit.jobs.announcement import announce
from kit.jobs.births import Birth, conceive, insert_births
from kit.jobs.submit import Submission, admit, key_reused
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session


# One by one through their unique indexes: by the statistics of a young table, reading all jobs would look cheaper.
_EARLIER = text("""
SELECT earlier.id, earlier.external_id, earlier.spec_sha256
FROM unnest(CAST(:ids AS text[])) AS wanted (external_id)
CROSS JOIN LATERAL (
    SELECT id, external_id, spec_sha256 FROM kit.jobs
    WHERE service = :service AND owner = :owner AND external_id = wanted.external_id LIMIT 1
) AS earlier
""")

_LEADERS = text("""
SELECT leader.active_key, leader.id
FROM unnest(CAST(:keys AS text[])) AS wanted (active_key)
CROSS JOIN LATERAL (
    SELECT active_key, id FROM kit.jobs
    WHERE service = :service AND active_key = wanted.active_key AND leader_id IS NULL
        AND status IN ('cancelling', 'queued', 'running') FOR SHARE
) AS leader
""")


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """What became of one request: a new job, an earlier one, or a problem."""

    job_id: UUID | None = None
    created: bool = False
    finished: bool = False
    problem: Problem | None = None


def submit_many(
    session: Session,
    submissions: Sequence[Submission],
    computed: Callable[[Collection[str]], Collection[str]] = lambda _: (),
) -> list[BulkOutcome]:
    """Accept the submissions, all of one batch (or of one key and request), in their order.

    ``computed`` says for which of some active keys the result is at hand; such jobs are born succeeded.
    """
    outcomes: list[BulkOutcome] = [BulkOutcome()] * len(submissions)
    fresh = _without_earlier(session, submissions, outcomes)
    keys = {item.submission.active_key for item in fresh if item.submission.active_key}
    finished = frozenset(computed(keys))
    fresh = _with_room(session, fresh, finished, outcomes)
    leaders = _active_leaders(session, submissions[0].service, keys - finished) if submissions else {}
    for birth in fresh:
        _place(birth, finished, leaders)
    inserted = insert_births(session, fresh)
    for birth in fresh:
        if birth.id in inserted:
            outcomes[birth.position] = BulkOutcome(birth.id, created=True, finished=birth.finished)
        else:
            outcomes[birth.position] = _single(session, birth.submission)
    announce(session, [b.id for b in fresh if b.id in inserted and b.finished and b.submission.webhook_url])
    return outcomes


def _without_earlier(session: Session, submissions: Sequence[Submission], outcomes: list[BulkOutcome]) -> list[Birth]:
    """The submissions that are new by their external id; the others' outcomes are filled in."""
    known = earlier_jobs(session, submissions)
    fresh: list[Birth] = []
    for position, submission in enumerate(submissions):
        birth = conceive(position, submission)
        external_id = submission.external_id
        earlier = known.get(external_id) if external_id is not None else None
        if earlier is None:
            fresh.append(birth)
            if external_id is not None:
                known[external_id] = birth.id, birth.spec_sha256
        elif earlier[1] == birth.spec_sha256:
            outcomes[position] = BulkOutcome(earlier[0])
        else:
            problem = key_reused("external_id", external_id, f"job {earlier[0]}", 409)
            outcomes[position] = BulkOutcome(problem=problem)
    return fresh


def earlier_jobs(session: Session, submissions: Sequence[Submission]) -> dict[str, tuple[UUID, str]]:
    """The owner's jobs under the external ids, with what they were asked."""
    ids = [submission.external_id for submission in submissions if submission.external_id is not None]
    if not ids:
        return {}
    first = submissions[0]
    parameters = {"service": first.service, "owner": first.owner, "ids": ids}
    rows = session.execute(_EARLIER, parameters)
    return {row.external_id: (row.id, row.spec_sha256) for row in rows}


def _with_room(
    session: Session, fresh: list[Birth], finished: Collection[str], outcomes: list[BulkOutcome]
) -> list[Birth]:
    """Those that the key's quota leaves room for, in their order; the others' outcomes are filled in."""
    room = quotas.room(session, fresh[0].submission.api_key, fresh[0].submission.quota) if fresh else None
    if room is None:
        return fresh
    admitted: list[Birth] = []
    for item in fresh:
        submission = item.submission
        problem = None if submission.active_key in finished else room.take(submission.spending)
        if problem is None:
            admitted.append(item)
        else:
            outcomes[item.position] = BulkOutcome(problem=quotas.refused(problem))
    return admitted


def _active_leaders(session: Session, service: str, keys: Collection[str]) -> dict[str, UUID]:
    """The jobs that already compute ``keys``; they cannot end before we commit."""
    if not keys:
        return {}
    parameters = {"service": service, "keys": sorted(keys)}
    return {row.active_key: row.id for row in session.execute(_LEADERS, parameters)}


def _place(birth: Birth, finished: Collection[str], leaders: dict[str, UUID]) -> None:
    """Make it born finished, following a leader, or leading those of its key that come after it."""
    key = birth.submission.active_key
    if key is None:
        return
    birth.finished = key in finished
    if not birth.finished and leaders.setdefault(key, birth.id) != birth.id:
        birth.leader_id = leaders[key]


def _single(session: Session, submission: Submission) -> BulkOutcome:
    """A request that met another one on its way in."""
    try:
        accepted = admit(session, replace(submission, finished=False))
    except Problem as problem:
        return BulkOutcome(problem=problem)
    return BulkOutcome(accepted.job.id, created=accepted.created)

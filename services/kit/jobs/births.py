"""Insert many new jobs with their first events and doorbells in one statement."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text
from uuid_utils.compat import uuid7

from kit import canonical, tracing
from kit.jobs.outbox import OUTBOX_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.jobs.submit import Submission

_ALIKE = ("service", "owner", "api_key", "max_attempts", "request_id", "batch_id")
"""What the jobs of one call have in common: sent once."""

# What differs travels as one JSON document: an array for each column costs psycopg several times as much to write.
# A follower starts where its leader stands; one whose leader did not get in is left out.
_INSERT = text("""
WITH line AS (
    SELECT * FROM json_to_recordset(CAST(:lines AS json)) AS line (
        id uuid, leader_id uuid, finished boolean, spec jsonb, spec_sha256 text, active_key text, labels jsonb,
        external_id text, webhook_url text, priority smallint, money_limit_usd float8, token_limit bigint
    )
), born AS (
    INSERT INTO kit.jobs (
        id, service, owner, api_key, max_attempts, request_id, batch_id, traceparent,
        leader_id, spec, spec_sha256, active_key, labels, external_id, webhook_url, priority,
        money_limit_usd, token_limit, event_seq, status, started_at, finished_at,
        attempt, worker, lease_until, progress, cancel_requested_at
    )
    SELECT
        line.id, :service, :owner, :api_key, :max_attempts, :request_id, CAST(:batch_id AS uuid), :traceparent,
        line.leader_id, line.spec, line.spec_sha256, line.active_key, line.labels,
        line.external_id, line.webhook_url, line.priority, line.money_limit_usd, line.token_limit,
        CASE WHEN line.finished THEN 2 ELSE 1 END,
        CASE WHEN line.finished THEN 'succeeded' ELSE coalesce(leader.status, 'queued') END,
        CASE WHEN line.finished THEN now() ELSE leader.started_at END,
        CASE WHEN line.finished THEN now() END,
        coalesce(leader.attempt, 0), leader.worker, leader.lease_until, leader.progress, leader.cancel_requested_at
    FROM line LEFT JOIN kit.jobs AS leader ON leader.id = line.leader_id
    WHERE line.leader_id IS NULL OR leader.id IS NOT NULL
    ON CONFLICT DO NOTHING
    RETURNING id, status, leader_id
), created AS (
    INSERT INTO kit.job_events (job_id, seq, type, data)
    SELECT id, 1, 'job.created', jsonb_build_object('status', status) FROM born
), ended AS (
    INSERT INTO kit.job_events (job_id, seq, type, data)
    SELECT id, 2, 'job.succeeded', jsonb_build_object('status', status, 'cached', true)
    FROM born WHERE status = 'succeeded'
), counted AS (
    INSERT INTO kit.endings (job_id) SELECT id FROM born WHERE status = 'succeeded'
), rung AS (
    INSERT INTO kit.outbox (job_id) SELECT id FROM born WHERE status = 'queued' AND leader_id IS NULL
)
SELECT id FROM born
""")


@dataclass(slots=True)
class Birth:
    """A job to be: the place of its request in the call, and what is known of it before it is inserted."""

    position: int
    submission: Submission
    id: UUID
    spec: str
    spec_sha256: str
    leader_id: UUID | None = None
    finished: bool = False


def conceive(position: int, submission: Submission) -> Birth:
    """A job of ``submission`` with an id, not yet inserted."""
    spec = canonical.dumps(submission.spec)
    return Birth(position, submission, uuid7(), spec, canonical.digest(spec))


def insert_births(session: Session, births: Sequence[Birth]) -> frozenset[UUID]:
    """Insert leaders, then those who follow one. Returns the ids that went in; others met an earlier job's key."""
    leaders = [birth for birth in births if birth.leader_id is None]
    followers = [birth for birth in births if birth.leader_id is not None]
    inserted = frozenset(id_ for group in (leaders, followers) if group for id_ in _insert(session, group))
    if inserted:
        session.execute(select(func.pg_notify(OUTBOX_CHANNEL, "")))
    return inserted


def _insert(session: Session, births: Sequence[Birth]) -> Sequence[UUID]:
    first = births[0].submission
    alike: dict[str, Any] = {name: getattr(first, name) for name in _ALIKE}
    lines = "[" + ",".join(_line(birth) for birth in births) + "]"
    parameters = {**alike, "lines": lines, "traceparent": tracing.traceparent()}
    return session.connection().execute(_INSERT, parameters).scalars().all()


def _line(birth: Birth) -> str:
    """The birth as a JSON object; its specification is JSON already."""
    submission, spending = birth.submission, birth.submission.spending
    fields = {
        "id": str(birth.id),
        "leader_id": None if birth.leader_id is None else str(birth.leader_id),
        "finished": birth.finished,
        "spec_sha256": birth.spec_sha256,
        "active_key": submission.active_key,
        "labels": submission.labels,
        "external_id": submission.external_id,
        "webhook_url": submission.webhook_url,
        "priority": submission.priority,
        "money_limit_usd": spending.money_usd if spending else None,
        "token_limit": spending.tokens if spending else None,
    }
    return f'{json.dumps(fields)[:-1]}, "spec": {birth.spec}}}'

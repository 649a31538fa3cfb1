"""What is old goes, what is needed stays, and no counter falls."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text
from tests.support.batches import batch_of
from typer.testing import CliRunner

from kit import audit, retention
from kit.audit import Actor, AuditEntry
from kit.cli import app
from kit.db import transaction
from kit.jobs import Claim, Job, JobEvent, Submission, submit, transitions
from kit.jobs.models import Batch
from kit.jobs.tallies import JobCounts, job_counts
from kit.relay import Relay
from kit.settings import JobSettings, RetentionSettings
from kit.webhooks.models import WebhookDelivery

LEASE = timedelta(seconds=30)
ERROR = {"type": "urn:x", "title": "x", "detail": "x"}
DAY_SECONDS = 86_400


def request(**changes: Any) -> Submission:
    return Submission(**{"service": "toy", "owner": "ann", "spec": {"n": 1}, "max_attempts": 3, **changes})


def make(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return submit(session, request(**changes)).job.id


def claimed(engine: Engine, job_id: UUID) -> Claim:
    with transaction(engine) as session:
        held = transitions.claim(session, job_id, "worker", LEASE)
    assert held is not None
    return held


def ended(engine: Engine, *, well: bool = True, **changes: Any) -> UUID:
    job_id = make(engine, **changes)
    held = claimed(engine, job_id)
    with transaction(engine) as session:
        transitions.succeed(session, held) if well else transitions.fail(session, held, ERROR)
    return job_id


def prune(engine: Engine, days_later: float = 100, **days: int) -> dict[str, int]:
    keep = RetentionSettings(database_url="postgresql://unused", **days)  # type: ignore[arg-type]
    removed: dict[str, int] = {}
    for what, rows in retention.pass_over(engine, keep, now=time.time() + days_later * DAY_SECONDS):
        removed[what] = removed.get(what, 0) + rows
    return removed


def ids(engine: Engine, model: Any = Job) -> set[Any]:
    with transaction(engine) as session:
        return set(session.scalars(select(next(iter(model.__table__.primary_key)))))


def counts(engine: Engine) -> JobCounts:
    with transaction(engine) as session:
        return job_counts(session, "toy")


def test_old_jobs_go_with_all_that_hangs_on_them_and_counters_stay(engine: Engine) -> None:
    ended(engine)
    ended(engine, well=False)
    active = make(engine)
    before = counts(engine)
    assert prune(engine)["jobs"] == 2
    assert ids(engine) == {active}
    assert ids(engine, JobEvent) == {active}
    after = counts(engine)
    assert after == JobCounts(before.active, after.oldest_queued_seconds, 0, 0.0, before.counted)
    assert after.counted["ended", "succeeded"] == 1
    assert after.counted["run_seconds", "+Inf"] == 1
    ended(engine)
    assert prune(engine)["jobs"] == 1
    assert counts(engine).counted["ended", "succeeded"] == 2


def test_what_is_young_stays(engine: Engine) -> None:
    job_id = ended(engine, idempotency_key="k")
    with transaction(engine) as session:
        audit.record(session, Actor("ann"), "job.cancel", "x")
    assert set(prune(engine, days_later=0.5, keep_idempotency_keys_days=1).values()) == {0}
    assert ids(engine) == {job_id}


def test_events_go_before_their_job_but_for_the_end(engine: Engine) -> None:
    job_id = ended(engine)
    assert prune(engine, days_later=50)["events"] == 2
    with transaction(engine) as session:
        assert list(session.scalars(select(JobEvent.type).where(JobEvent.job_id == job_id))) == ["job.succeeded"]


def test_an_idempotency_key_is_free_again_once_it_is_forgotten(engine: Engine) -> None:
    first = ended(engine, idempotency_key="k", external_id="run-1")
    running = make(engine, idempotency_key="other")
    assert prune(engine, days_later=10)["idempotency keys"] == 1
    assert make(engine, idempotency_key="k", spec={"n": 2}) != first
    assert make(engine, idempotency_key="other") == running
    assert make(engine, external_id="run-1") == first


def test_a_job_that_others_follow_stays_until_they_have_ended(engine: Engine) -> None:
    leader = make(engine, active_key="same")
    follower = make(engine, active_key="same")
    held = claimed(engine, leader)
    with transaction(engine) as session:
        # What no transition makes: a leader that has ended before its follower.
        session.execute(
            text("UPDATE kit.jobs SET leader_id = NULL, active_key = NULL WHERE id = :id"), {"id": follower}
        )
        transitions.succeed(session, held)
        session.execute(
            text("UPDATE kit.jobs SET leader_id = :leader WHERE id = :id"), {"leader": leader, "id": follower}
        )
    assert prune(engine)["jobs"] == 0
    assert ids(engine) == {leader, follower}


def test_a_batch_keeps_its_jobs_until_it_is_old_itself(engine: Engine) -> None:
    batch_id = batch_of(engine, *(request(spec={"n": number}) for number in range(2)))
    first, second = sorted(ids(engine))
    with transaction(engine) as session:
        transitions.cancel(session, first)
    assert prune(engine)["jobs"] == 0
    with transaction(engine) as session:
        transitions.cancel(session, second)
    removed = prune(engine)
    assert (removed["jobs"], removed["batches"]) == (2, 1)
    assert batch_id not in ids(engine, Batch)


def test_a_job_that_is_still_to_be_told_of_stays(engine: Engine) -> None:
    job_id = ended(engine, webhook_url="https://receiver.example/hook")
    assert prune(engine)["jobs"] == 0
    with transaction(engine) as session:
        session.execute(
            text("UPDATE kit.webhook_deliveries SET status = 'delivered', next_attempt_at = NULL, finished_at = now()")
        )
    removed = prune(engine, days_later=50)
    assert removed["deliveries"] == 1
    assert ids(engine, WebhookDelivery) == set()
    assert prune(engine)["jobs"] == 1
    assert job_id not in ids(engine)


def test_more_than_a_chunk_goes_in_several_transactions(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    for number in range(5):
        with transaction(engine) as session:
            audit.record(session, Actor("ann"), "job.cancel", str(number))
    keep = RetentionSettings(database_url="postgresql://unused")  # type: ignore[arg-type]
    steps = list(retention.pass_over(engine, keep, now=time.time() + 400 * DAY_SECONDS))
    assert [rows for what, rows in steps if what == "audit entries"] == [2, 2, 1]
    assert ids(engine, AuditEntry) == set()


def test_the_command_says_what_it_removed(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    make(engine)
    outcome = CliRunner().invoke(app, ["prune"])
    assert outcome.exit_code == 0
    assert "0 jobs" in outcome.output


def test_a_relay_makes_a_pass_a_chunk_a_turn_and_rests(engine: Engine, database_url: str, redis_url: str) -> None:
    del engine
    relay = Relay(JobSettings(database_url=database_url, redis_url=redis_url))  # type: ignore[arg-type]
    relay.turn()
    assert relay.pruning is not None
    for _ in range(10):
        relay.turn()
    assert relay.pruning is None
    relay.close()

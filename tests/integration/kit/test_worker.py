"""What becomes of a job by what its handler does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from kit.db import make_engine, transaction
from kit.jobs import ClaimLostError, Job, JobEvent, Submission, submit, transitions
from kit.problems import Problem
from kit.settings import JobSettings
from kit.worker import CancelledByOwnerError, JobContext, Leases, Outcome, TransientError, run_job


def nothing(session: Session) -> None:
    del session


@pytest.fixture
def settings(database_url: str, redis_url: str) -> JobSettings:
    return JobSettings(
        database_url=database_url, redis_url=redis_url, heartbeat_seconds=0.05, lease_seconds=5.0, max_attempts=2
    )


@pytest.fixture
def run(engine: Engine, settings: JobSettings) -> Callable[[Callable[[JobContext], Outcome]], Job]:
    """Submit a job, run it once with this handler, and read it back."""

    def run(handler: Callable[[JobContext], Outcome]) -> Job:
        with transaction(engine) as session:
            job_id = submit(session, Submission("toy", "ann", {"n": 1}, settings.max_attempts)).job.id
        with Leases(engine, settings) as leases:
            run_job(engine, settings, handler, job_id, leases)
        return read(engine, job_id)

    return run


Run = Callable[[Callable[[JobContext], Outcome]], Job]


def read(engine: Engine, job_id: UUID) -> Job:
    with transaction(engine) as session:
        return session.get_one(Job, job_id)


def test_the_result_and_the_end_are_one_transaction(run: Run, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS kit.toy (n int)"))

    def store(session: Session) -> None:
        session.execute(text("INSERT INTO kit.toy VALUES (1)"))
        raise ValueError("the disk is full")

    job = run(lambda _: Outcome(store))
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM kit.toy")) == 0
        connection.execute(text("DROP TABLE kit.toy"))
    assert job.status == "failed"


def test_a_bug_fails_the_job_and_tells_nothing_of_itself(run: Run) -> None:
    def handler(_: JobContext) -> Outcome:
        raise ZeroDivisionError("a secret detail")

    job = run(handler)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["type"] == "urn:astrolabe:problem:internal"
    assert "secret" not in str(job.error)


def test_a_problem_fails_the_job_in_its_own_words(run: Run) -> None:
    def handler(_: JobContext) -> Outcome:
        raise Problem(422, "odd", "Odd", "send an even number")

    job = run(handler)
    assert (job.status, job.error) == (
        "failed",
        {"type": "urn:astrolabe:problem:odd", "title": "Odd", "detail": "send an even number", "errors": []},
    )


def test_an_outcome_with_an_error_is_a_failure_that_keeps_its_result(run: Run, engine: Engine) -> None:
    stored = []
    job = run(lambda _: Outcome(lambda _: stored.append(1), Problem(200, "no-answer", "No answer", "none")))
    assert job.status == "failed"
    assert stored == [1]


def test_a_part_that_is_away_sends_the_job_back_until_its_attempts_are_spent(
    run: Run, engine: Engine, settings: JobSettings
) -> None:
    def handler(_: JobContext) -> Outcome:
        raise TransientError("the sandbox is away")

    job = run(handler)
    assert (job.status, job.attempt) == ("queued", 1)
    with Leases(engine, settings) as leases:
        run_job(engine, settings, handler, job.id, leases)
    job = read(engine, job.id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["detail"] == "the sandbox is away"


def test_a_cancel_reaches_the_handler(run: Run, engine: Engine) -> None:
    def handler(context: JobContext) -> Outcome:
        with transaction(engine) as session:
            transitions.cancel(session, context.job_id)
        waiting = threading.Event()
        while True:
            context.check()
            waiting.wait(0.01)

    assert run(handler).status == "cancelled"


def test_a_worker_that_lost_its_job_leaves_no_trace(run: Run, engine: Engine) -> None:
    seen: list[type[BaseException]] = []

    def handler(context: JobContext) -> Outcome:
        with engine.begin() as connection:
            connection.execute(text("UPDATE kit.jobs SET attempt = attempt + 1"))
        waiting = threading.Event()
        try:
            while True:
                context.check()
                waiting.wait(0.01)
        except (ClaimLostError, CancelledByOwnerError) as error:
            seen.append(type(error))
            with pytest.raises(ClaimLostError):
                context.emit("toy.late", {})
            with pytest.raises(ClaimLostError):
                context.write(lambda session: session.execute(text("DELETE FROM kit.jobs")))
        return Outcome(nothing)

    job = run(handler)
    assert seen == [ClaimLostError]
    assert (job.status, job.attempt) == ("running", 2)


def test_a_long_job_keeps_its_lease(run: Run, engine: Engine, settings: JobSettings) -> None:
    def handler(context: JobContext) -> Outcome:
        first = read(engine, context.job_id).lease_until
        assert first is not None
        waiting = threading.Event()
        while (read(engine, context.job_id).lease_until or first) <= first:
            waiting.wait(0.02)
        return Outcome(nothing)

    assert run(handler).status == "succeeded"


def test_progress_is_told_at_each_phase_and_not_too_often(run: Run, engine: Engine) -> None:
    def handler(context: JobContext) -> Outcome:
        for phase in ("space", "cost"):
            for done in range(100):
                context.progress(phase, done, 100, "strategies")
        return Outcome(nothing)

    job = run(handler)
    with transaction(engine) as session:
        query = select(JobEvent.data).where(JobEvent.job_id == job.id, JobEvent.type == "job.progress")
        told = list(session.scalars(query))
    assert [value["phase"] for value in told][:1] == ["space"]
    assert "cost" in {value["phase"] for value in told}
    assert 2 <= len(told) < 100


def test_a_keyed_event_is_logged_once(run: Run, engine: Engine) -> None:
    def handler(context: JobContext) -> Outcome:
        for _ in range(3):
            context.emit("node.finished", {"path": "1"}, "node.finished:1")
        return Outcome(nothing)

    job = run(handler)
    with transaction(engine) as session:
        types = list(session.scalars(select(JobEvent.type).where(JobEvent.job_id == job.id)))
    assert types.count("node.finished") == 1


def test_a_doorbell_that_rings_twice_runs_the_job_once(run: Run, engine: Engine, settings: JobSettings) -> None:
    runs = []

    def handler(_: JobContext) -> Outcome:
        runs.append(1)
        return Outcome(nothing)

    job = run(handler)
    with Leases(engine, settings) as leases:
        run_job(engine, settings, handler, job.id, leases)
    assert runs == [1]


def test_one_thread_keeps_the_leases_of_all_jobs_in_hand_and_tells_which_is_lost(
    engine: Engine, settings: JobSettings
) -> None:
    with transaction(engine) as session:
        ids = [submit(session, Submission("toy", "ann", {"n": n}, 2)).job.id for n in range(3)]
        claims = [transitions.claim(session, job_id, "me", timedelta(seconds=5)) for job_id in ids]
    kept, cancelled, lost = [claim for claim in claims if claim is not None]
    before = leases_until(engine)
    told = threading.Event()
    with (
        Leases(engine, settings) as leases,
        leases.kept(kept),
        leases.kept(cancelled) as second,
        leases.kept(lost) as third,
    ):
        with second.telling(told.set):
            with transaction(engine) as session:
                transitions.cancel(session, cancelled.job_id)
                transitions.release(session, lost, "the test wants it", {"type": "x", "title": "x", "detail": "x"})
            assert told.wait(10)
            assert third.lost.wait(10)
        assert (second.cancelled.is_set(), second.lost.is_set(), third.cancelled.is_set()) == (True, False, False)
    after = leases_until(engine)
    assert after[kept.job_id] > before[kept.job_id]
    assert after[lost.job_id] is None


def test_a_job_that_somebody_has_locked_keeps_its_lease(engine: Engine, settings: JobSettings) -> None:
    with transaction(engine) as session:
        job_id = submit(session, Submission("toy", "ann", {"n": 1}, 2)).job.id
        claim = transitions.claim(session, job_id, "me", timedelta(seconds=5))
    assert claim is not None
    with transaction(engine) as session:
        session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
        with transaction(engine) as other:
            assert transitions.renew_all(other, [claim], timedelta(seconds=5)) == {}, "it waits for nobody"
    with transaction(engine) as session:
        assert transitions.renew_all(session, [claim], timedelta(seconds=5)) == {job_id: "running"}


def leases_until(engine: Engine) -> dict[UUID, datetime | None]:
    with transaction(engine) as session:
        return {row.id: row.lease_until for row in session.execute(select(Job.id, Job.lease_until))}


def test_a_database_that_is_away_at_the_claim_is_waited_for(
    engine: Engine, settings: JobSettings, database_url: str
) -> None:
    with transaction(engine) as session:
        job_id = submit(session, Submission("toy", "ann", {"n": 1}, settings.max_attempts)).job.id
    refusals = iter(range(3))
    late = make_engine(database_url)

    @event.listens_for(late, "do_connect")
    def refuse(*_: object) -> None:
        if next(refusals, None) is not None:
            raise psycopg.OperationalError("the server is starting up")

    with Leases(engine, settings) as leases:
        run_job(late, settings, lambda _: Outcome(nothing), job_id, leases)
    late.dispose()
    assert next(refusals, None) is None
    assert read(engine, job_id).status == "succeeded"

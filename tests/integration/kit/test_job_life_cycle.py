"""The life of a job, step by step and under any order of steps, on the real database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from kit.db import transaction
from kit.jobs import Claim, ClaimLostError, Job, JobEvent, JobStatus, Submission, submit, transitions
from kit.jobs.bulk import submit_many
from kit.jobs.mass_cancel import cancel_many
from kit.jobs.outbox import ring_again, take, unanswered
from kit.problems import Problem

T = TypeVar("T")
LEASE = timedelta(seconds=30)
EXPIRED = timedelta(seconds=-1)
MAX_ATTEMPTS = 3
ERROR = {"type": "urn:x", "title": "x", "detail": "x"}


def make(engine: Engine, **changes: Any) -> UUID:
    fields: dict[str, Any] = {"service": "toy", "owner": "ann", "spec": {"n": 1}, "max_attempts": MAX_ATTEMPTS}
    with transaction(engine) as session:
        return submit(session, Submission(**{**fields, **changes})).job.id


def do(engine: Engine, step: Callable[..., T], *arguments: Any) -> T:
    with transaction(engine) as session:
        return step(session, *arguments)


def claimed(engine: Engine, job_id: UUID, lease: timedelta = LEASE) -> Claim:
    held = do(engine, transitions.claim, job_id, "worker-1", lease)
    assert held is not None
    return held


def status(engine: Engine, job_id: UUID) -> str:
    return str(do(engine, lambda session: session.get_one(Job, job_id).status))


def events(engine: Engine, job_id: UUID) -> list[str]:
    query = select(JobEvent.type).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)
    return do(engine, lambda session: list(session.scalars(query)))


def rung(engine: Engine) -> list[UUID]:
    return do(engine, take, "toy", 100)


def test_the_straight_way(engine: Engine) -> None:
    job_id = make(engine)
    assert rung(engine) == [job_id]
    held = claimed(engine, job_id)
    do(engine, transitions.progress, held, {"phase": "cost", "completed": 1, "total": 2, "unit": "strategies"})
    do(engine, transitions.succeed, held)
    assert status(engine, job_id) == "succeeded"
    assert events(engine, job_id) == ["job.created", "job.started", "job.progress", "job.succeeded"]
    assert rung(engine) == []


def test_a_job_is_claimed_once(engine: Engine) -> None:
    job_id = make(engine)
    barrier = Barrier(8)

    def try_to_claim(number: int) -> bool:
        barrier.wait()
        return do(engine, transitions.claim, job_id, f"worker-{number}", LEASE) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_to_claim, range(8))) == 1


def test_a_fenced_worker_can_write_nothing(engine: Engine) -> None:
    job_id = make(engine)
    old = claimed(engine, job_id, EXPIRED)
    assert do(engine, transitions.reap) == 1
    new = claimed(engine, job_id)
    for write in (
        lambda: do(engine, transitions.renew, old, LEASE),
        lambda: do(engine, transitions.progress, old, {}),
        lambda: do(engine, transitions.emit, old, "node.finished", {}),
        lambda: do(engine, transitions.succeed, old),
        lambda: do(engine, transitions.fail, old, ERROR),
        lambda: do(engine, transitions.acknowledge_cancel, old),
        lambda: do(engine, transitions.release, old, "why", ERROR),
    ):
        with pytest.raises(ClaimLostError):
            write()
    assert do(engine, transitions.renew, new, LEASE) is JobStatus.RUNNING


def test_a_lost_worker_s_job_goes_back_to_the_queue_and_its_doorbell_rings(engine: Engine) -> None:
    job_id = make(engine)
    rung(engine)
    claimed(engine, job_id, EXPIRED)
    assert do(engine, transitions.reap) == 1
    assert status(engine, job_id) == "queued"
    assert rung(engine) == [job_id]


def test_a_poison_job_ends_when_its_attempts_are_spent(engine: Engine) -> None:
    job_id = make(engine)
    for _ in range(MAX_ATTEMPTS):
        claimed(engine, job_id, EXPIRED)
        do(engine, transitions.reap)
    assert status(engine, job_id) == "failed"
    assert do(engine, transitions.claim, job_id, "worker-1", LEASE) is None
    error = do(engine, lambda session: session.get_one(Job, job_id).error)
    assert error is not None
    assert "3 of 3 attempts" in error["detail"]


def test_a_live_lease_is_not_reaped(engine: Engine) -> None:
    claimed(engine, make(engine))
    assert do(engine, transitions.reap) == 0


def test_cancel_of_a_queued_job_is_the_end(engine: Engine) -> None:
    job_id = make(engine)
    assert do(engine, transitions.cancel, job_id) is JobStatus.CANCELLED
    assert do(engine, transitions.cancel, job_id) is JobStatus.CANCELLED
    assert do(engine, transitions.claim, job_id, "worker-1", LEASE) is None


def test_cancel_of_a_running_job_is_seen_by_its_worker_and_wins_over_success(engine: Engine) -> None:
    job_id = make(engine)
    held = claimed(engine, job_id)
    assert do(engine, transitions.cancel, job_id) is JobStatus.CANCELLING
    assert do(engine, transitions.cancel, job_id) is JobStatus.CANCELLING
    assert do(engine, transitions.renew, held, LEASE) is JobStatus.CANCELLING
    do(engine, transitions.succeed, held)
    assert status(engine, job_id) == "cancelled"


def test_cancel_of_a_job_whose_worker_died_ends_with_the_lease(engine: Engine) -> None:
    job_id = make(engine)
    claimed(engine, job_id, EXPIRED)
    do(engine, transitions.cancel, job_id)
    do(engine, transitions.reap)
    assert status(engine, job_id) == "cancelled"


def test_cancel_after_the_end_is_refused(engine: Engine) -> None:
    job_id = make(engine)
    do(engine, transitions.succeed, claimed(engine, job_id))
    with pytest.raises(Problem) as refused:
        do(engine, transitions.cancel, job_id)
    assert refused.value.status == 409
    assert status(engine, job_id) == "succeeded"


def test_cancel_racing_completion_ends_once(engine: Engine) -> None:
    for _ in range(20):
        job_id = make(engine)
        held = claimed(engine, job_id)
        barrier = Barrier(2)

        def finish(held: Claim = held, barrier: Barrier = barrier) -> None:
            barrier.wait()
            do(engine, transitions.succeed, held)

        def cancel(job_id: UUID = job_id, barrier: Barrier = barrier) -> None:
            barrier.wait()
            with suppress(Problem):  # 409: the job ended first
                do(engine, transitions.cancel, job_id)

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(finish), pool.submit(cancel)]:
                future.result()
        ends = [event for event in events(engine, job_id) if event in {"job.succeeded", "job.cancelled"}]
        assert len(ends) == 1
        assert ends[0] == f"job.{status(engine, job_id)}"


def test_identical_work_is_computed_once(engine: Engine) -> None:
    barrier = Barrier(50)

    def request(number: int) -> UUID:
        barrier.wait()
        return make(engine, active_key="same", owner=f"owner-{number}")

    engine_for_many = engine
    with ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(request, range(50)))
    assert len(set(ids)) == 50
    leaders = rung(engine_for_many)
    assert len(leaders) == 1
    held = claimed(engine, leaders[0])
    do(engine, transitions.progress, held, {"phase": "cost", "completed": 1, "total": 2, "unit": "strategies"})
    late = make(engine, active_key="same")
    do(engine, transitions.succeed, held)
    assert {status(engine, job_id) for job_id in [*ids, late]} == {"succeeded"}
    follower = next(job_id for job_id in ids if job_id != leaders[0])
    assert events(engine, follower) == ["job.created", "job.started", "job.progress", "job.succeeded"]
    assert events(engine, late) == ["job.created", "job.succeeded"]


def test_a_follower_s_cancel_leaves_the_others_alone(engine: Engine) -> None:
    leader, follower, other = (make(engine, active_key="same") for _ in range(3))
    held = claimed(engine, leader)
    assert do(engine, transitions.cancel, follower) is JobStatus.CANCELLED
    do(engine, transitions.succeed, held)
    assert [status(engine, job) for job in (leader, follower, other)] == ["succeeded", "cancelled", "succeeded"]


def test_a_cancelled_leader_is_succeeded_by_its_first_follower(engine: Engine) -> None:
    leader, heir, other = (make(engine, active_key="same") for _ in range(3))
    rung(engine)
    held = claimed(engine, leader)
    assert do(engine, transitions.cancel, leader) is JobStatus.CANCELLED
    with pytest.raises(ClaimLostError):
        do(engine, transitions.renew, held, LEASE)
    assert rung(engine) == [heir]
    latest = make(engine, active_key="same")
    do(engine, transitions.succeed, claimed(engine, heir))
    assert [status(engine, job) for job in (leader, heir, other, latest)] == ["cancelled"] + ["succeeded"] * 3


def test_a_request_identical_to_one_being_cancelled_is_computed_anew(engine: Engine) -> None:
    first = make(engine, active_key="same")
    claimed(engine, first)
    do(engine, transitions.cancel, first)
    rung(engine)
    second = make(engine, active_key="same")
    assert rung(engine) == [second]


def test_the_failure_of_shared_work_is_everyone_s(engine: Engine) -> None:
    leader, follower = (make(engine, active_key="same") for _ in range(2))
    do(engine, transitions.fail, claimed(engine, leader), ERROR)
    assert status(engine, follower) == "failed"
    assert status(engine, leader) == "failed"


@pytest.mark.parametrize("key", ["external_id", "idempotency_key"])
def test_a_key_makes_a_request_repeatable_but_not_for_another_request(engine: Engine, key: str) -> None:
    first = make(engine, **{key: "run-7"})
    assert make(engine, **{key: "run-7"}) == first
    assert make(engine, **{key: "run-7", "owner": "bob"}) != first
    with pytest.raises(Problem) as refused:
        make(engine, **{key: "run-7", "spec": {"n": 2}})
    assert refused.value.status == {"external_id": 409, "idempotency_key": 422}[key]
    assert str(first) in refused.value.detail


def test_fifty_times_the_same_key_at_once_is_one_job(engine: Engine) -> None:
    barrier = Barrier(50)

    def request(_: int) -> UUID:
        barrier.wait()
        return make(engine, idempotency_key="k", active_key="same")

    with ThreadPoolExecutor(50) as pool:
        assert len(set(pool.map(request, range(50)))) == 1


def test_a_job_born_finished_is_never_dispatched(engine: Engine) -> None:
    job_id = make(engine, finished=True)
    assert rung(engine) == []
    assert events(engine, job_id) == ["job.created", "job.succeeded"]


def test_a_refused_message_stays_in_the_outbox(engine: Engine) -> None:
    job_id = make(engine)

    def refuse(session: Session) -> None:
        take(session, "toy", 10)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        do(engine, refuse)
    assert rung(engine) == [job_id]


def test_lost_messages_can_be_rung_again(engine: Engine) -> None:
    job_id = make(engine)
    rung(engine)
    running = make(engine)
    rung(engine)
    claimed(engine, running)
    assert do(engine, unanswered, timedelta(seconds=60)) == {}
    with transaction(engine) as session:
        session.execute(update(Job).values(dispatched_at=text("now() - interval '2 minutes'")))
    assert do(engine, unanswered, timedelta(seconds=60)) == {"toy": [job_id]}
    assert do(engine, ring_again) == 1
    assert rung(engine) == [job_id]


class JobMachine(RuleBasedStateMachine):
    """Any order of steps of any workers: no job is lost, none ends twice, attempts stay within the cap."""

    engine: ClassVar[Engine]
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE kit.jobs CASCADE"))

    @rule(target=jobs, key=st.sampled_from([None, "a", "b"]))
    def submit(self, key: str | None) -> UUID:
        return make(self.engine, active_key=key)

    @rule(target=claims, job=jobs, dies=st.booleans())
    def claim(self, job: UUID, dies: bool) -> Any:
        held = do(self.engine, transitions.claim, job, "worker", EXPIRED if dies else LEASE)
        return multiple() if held is None else held

    @rule(held=claims)
    def renew(self, held: Claim) -> None:
        self.fenced(held, transitions.renew, LEASE)

    @rule(held=consumes(claims), end=st.sampled_from(["succeed", "fail", "acknowledge_cancel", "release"]))
    def end(self, held: Claim, end: str) -> None:
        arguments = {"fail": (ERROR,), "release": ("part away", ERROR)}.get(end, ())
        self.fenced(held, getattr(transitions, end), *arguments)

    @rule(job=jobs)
    def cancel(self, job: UUID) -> None:
        before = JobStatus(status(self.engine, job))
        try:
            do(self.engine, transitions.cancel, job)
        except Problem:
            assert before in {JobStatus.SUCCEEDED, JobStatus.FAILED}

    @rule(target=jobs, keys=st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=4))
    def submit_in_bulk(self, keys: list[str | None]) -> Any:
        submissions = [Submission("toy", "ann", {"n": 1}, MAX_ATTEMPTS, active_key=key) for key in keys]
        outcomes = do(self.engine, submit_many, submissions)
        assert all(outcome.created for outcome in outcomes)
        return multiple(*[outcome.job_id for outcome in outcomes])

    @rule(chosen=st.lists(jobs, min_size=1, max_size=4, unique=True))
    def cancel_in_bulk(self, chosen: list[UUID]) -> None:
        stoppable = select(Job.id).where(Job.id.in_(chosen), Job.status.in_(["queued", "running"])).order_by(Job.id)
        with transaction(self.engine) as session:
            locked = session.scalars(stoppable.with_for_update()).all()
            cancel_many(session, locked)
        for job_id in locked:
            assert status(self.engine, job_id) in {"cancelling", "cancelled"}

    @rule()
    def reap(self) -> None:
        do(self.engine, transitions.reap)

    def fenced(self, held: Claim, step: Callable[..., Any], *arguments: Any) -> None:
        with transaction(self.engine) as session:
            job = session.get_one(Job, held.job_id)
            current = (job.attempt, JobStatus(job.status).is_terminal, job.status)
        try:
            do(self.engine, step, held, *arguments)
        except ClaimLostError:
            stale = current[0] != held.attempt or current[2] not in {"running", "cancelling"}
            assert stale or (step is transitions.acknowledge_cancel and current[2] == "running")
        else:
            assert current[0] == held.attempt
            assert not current[1]

    @invariant()
    def every_job_is_whole(self) -> None:
        with transaction(self.engine) as session:
            jobs = {job.id: job for job in session.scalars(select(Job))}
            waiting = set(session.scalars(text("SELECT job_id FROM kit.outbox")))
            logs: dict[UUID, list[JobEvent]] = {job_id: [] for job_id in jobs}
            for event in session.scalars(select(JobEvent).order_by(JobEvent.seq)):
                logs[event.job_id].append(event)
        for job in jobs.values():
            self.check(job, jobs, waiting, logs[job.id])

    @staticmethod
    def check(job: Job, jobs: dict[UUID, Job], waiting: set[UUID], log: list[JobEvent]) -> None:
        assert [event.seq for event in log] == list(range(1, job.event_seq + 1))
        ends = [event for event in log if event.type in {"job.succeeded", "job.failed", "job.cancelled"}]
        terminal = JobStatus(job.status).is_terminal
        assert len(ends) == int(terminal)
        assert job.attempt <= MAX_ATTEMPTS
        if terminal:
            return
        if job.leader_id is None:
            assert job.status != "queued" or job.id in waiting, "a queued job without a doorbell is lost"
        else:
            leader = jobs[job.leader_id]
            assert leader.leader_id is None
            assert (leader.status, leader.attempt) == (job.status, job.attempt)


def test_any_order_of_steps(engine: Engine) -> None:
    JobMachine.engine = engine
    run_state_machine_as_test(JobMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))

"""Many requests at once: the same outcome as one by one, in fair order, with results numbered by their ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text
from tests.support.batches import batch_of

from kit.batches.store import cancel_some, counts, ended, request_cancel
from kit.db import transaction
from kit.jobs import Job, JobStatus, Submission, submit, transitions
from kit.jobs.bulk import submit_many
from kit.jobs.outbox import take
from kit.problems import Problem

LEASE = timedelta(seconds=30)
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "spec": st.integers(0, 2).map(lambda n: {"n": n}),
            "active_key": st.sampled_from([None, "a", "b", "done"]),
            "external_id": st.sampled_from([None, None, "x", "y"]),
        }
    ),
    max_size=8,
)


def submission(**fields: Any) -> Submission:
    return Submission(**{"service": "toy", "owner": "ann", "spec": {"n": 1}, "max_attempts": 3, **fields})


def shape(engine: Engine) -> list[tuple[Any, ...]]:
    """What stands in the tables, without ids and times, in the order of the requests."""
    query = (
        "SELECT j.spec::text, j.status, j.active_key, j.external_id, l.active_key, j.event_seq, o.job_id IS NOT NULL,"
        " (SELECT array_agg(type ORDER BY seq) FROM kit.job_events e WHERE e.job_id = j.id)"
        " FROM kit.jobs j LEFT JOIN kit.jobs l ON l.id = j.leader_id LEFT JOIN kit.outbox o ON o.job_id = j.id"
        " ORDER BY j.id"
    )
    with engine.begin() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
        connection.execute(text("TRUNCATE kit.jobs CASCADE"))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=LINES, lines=LINES)
def test_in_bulk_is_as_one_by_one(engine: Engine, before: list[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    def one_by_one(requests: list[dict[str, Any]]) -> list[tuple[bool, int | None]]:
        outcomes: list[tuple[bool, int | None]] = []
        for request in requests:
            try:
                with transaction(engine) as session:
                    done = request["active_key"] == "done"
                    accepted = submit(session, submission(**request, finished=done))
                    outcomes.append((accepted.created, None))
            except Problem as problem:
                outcomes.append((False, problem.status))
        return outcomes

    def in_bulk(requests: list[dict[str, Any]]) -> list[tuple[bool, int | None]]:
        with transaction(engine) as session:
            outcomes = submit_many(
                session, [submission(**request) for request in requests], lambda keys: {"done"} & set(keys)
            )
        return [(outcome.created, outcome.problem.status if outcome.problem else None) for outcome in outcomes]

    one_by_one(before)
    expected = (one_by_one(lines), shape(engine))
    one_by_one(before)
    assert (in_bulk(lines), shape(engine)) == expected


def test_in_bulk_they_follow_a_leader_that_already_runs(engine: Engine) -> None:
    with transaction(engine) as session:
        leader = submit(session, submission(active_key="a")).job.id
    with transaction(engine) as session:
        held = transitions.claim(session, leader, "worker", LEASE)
    assert held is not None
    batch_id = batch_of(engine, *[submission(active_key="a", spec={"n": number}) for number in range(3)])
    with transaction(engine) as session:
        transitions.succeed(session, held)
    with transaction(engine) as session:
        assert counts(session, batch_id)[JobStatus.SUCCEEDED] == 3
        assert [job.batch_seq for job in ended(session, batch_id, 0, 10)] == [1, 2, 3]


def test_owners_take_turns_and_priority_goes_first(engine: Engine) -> None:
    with transaction(engine) as session:
        submit_many(session, [submission(spec={"n": n}) for n in range(6)])
        submit_many(session, [submission(owner="bob", spec={"n": n}) for n in range(2)])
        submit_many(session, [submission(owner="eve", spec={"n": 9}, priority=9)])

    def next_owners(limit: int) -> list[str]:
        with transaction(engine) as session:
            chosen = take(session, "toy", limit)
            owners = {job.id: job.owner for job in session.scalars(select(Job).where(Job.id.in_(chosen)))}
        return [owners[job_id] for job_id in chosen]

    assert next_owners(5) == ["eve", "ann", "bob", "ann", "bob"]
    with transaction(engine) as session:
        submit_many(session, [submission(owner="bob", spec={"n": n}) for n in range(2, 5)])
    assert sorted(next_owners(2)) == ["ann", "bob"], "both have two in flight, so both go on"


def test_priority_orders_an_owner_s_own_jobs_and_starves_nobody(engine: Engine) -> None:
    with transaction(engine) as session:
        submit_many(session, [submission(owner="bob", spec={"n": 0}, priority=0)])
        submit_many(session, [submission(spec={"n": n}, priority=n) for n in range(5)])
    with transaction(engine) as session:
        chosen = take(session, "toy", 3)
        jobs = {job.id: (job.owner, job.priority) for job in session.scalars(select(Job).where(Job.id.in_(chosen)))}
    assert [jobs[job_id] for job_id in chosen] == [("ann", 4), ("bob", 0), ("ann", 3)]


def test_ends_are_numbered_without_gaps_however_they_race(engine: Engine) -> None:
    batch_id = batch_of(engine, *[submission(spec={"n": number}) for number in range(12)])
    with transaction(engine) as session:
        claims = [
            transitions.claim(session, job_id, "worker", LEASE)
            for job_id in session.scalars(select(Job.id).where(Job.batch_id == batch_id))
        ]
    barrier = Barrier(12)

    def finish(number: int) -> None:
        held = claims[number]
        assert held is not None
        barrier.wait()
        with transaction(engine) as session:
            if number % 3:
                transitions.succeed(session, held)
            else:
                transitions.fail(session, held, {"title": "x"})

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(finish, range(12)))
    with transaction(engine) as session:
        assert [job.batch_seq for job in ended(session, batch_id, 0, 20)] == list(range(1, 13))
        assert [job.batch_seq for job in ended(session, batch_id, 7, 3)] == [8, 9, 10]
        finished = session.execute(text("SELECT finished, finished_at IS NOT NULL FROM kit.batches")).one()
    assert tuple(finished) == (12, True)


def test_a_cancelled_batch_ends_bit_by_bit(engine: Engine) -> None:
    batch_id = batch_of(engine, *[submission(spec={"n": number}) for number in range(5)])
    with transaction(engine) as session:
        request_cancel(session, batch_id)
    with transaction(engine) as session:
        assert cancel_some(session) == 5
    with transaction(engine) as session:
        assert cancel_some(session) == 0
        assert counts(session, batch_id)[JobStatus.CANCELLED] == 5

"""Results of searches go with the last job that asked for them, and never from under a job."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from sqlalchemy import Engine, select, text

from kit import retention
from kit.db import transaction
from kit.jobs import Submission, submit
from kit.settings import RetentionSettings
from planner import store
from planner.models import Search
from planner.retention import remove_searches

DAY_SECONDS = 86_400
OLD = retention.Cutoff(time.time() + 100 * DAY_SECONDS)


def searched(engine: Engine, *keys: str) -> None:
    with transaction(engine) as session:
        for key in keys:
            store.save_result(session, key, "{}")


def asked(engine: Engine, key: str) -> UUID:
    """A plan whose result is at hand."""
    with transaction(engine) as session:
        job = submit(session, Submission("planner", "ann", {"key": key}, 3, finished=True)).job
        store.add_plans(session, [(job.id, key)])
        return job.id


def kept(engine: Engine) -> set[str]:
    with transaction(engine) as session:
        return set(session.scalars(select(Search.key)))


def prune(engine: Engine, days_later: float) -> dict[str, int]:
    keep = RetentionSettings(database_url="postgresql://unused")  # type: ignore[arg-type]
    return dict(retention.pass_over(engine, keep, now=time.time() + days_later * DAY_SECONDS))


def test_a_result_is_kept_as_long_as_a_job_has_it(engine: Engine) -> None:
    searched(engine, "used", "unused")
    asked(engine, "used")
    assert prune(engine, 30)["searches"] == 0
    with transaction(engine) as session:
        assert remove_searches(session, OLD) == 1
    assert kept(engine) == {"used"}


def test_a_pass_removes_the_jobs_first_and_then_their_results(engine: Engine) -> None:
    searched(engine, "used")
    asked(engine, "used")
    removed = prune(engine, 100)
    assert (removed["jobs"], removed["searches"]) == (1, 1)
    assert kept(engine) == set()


def test_a_result_given_to_a_job_that_is_not_committed_stays(engine: Engine) -> None:
    searched(engine, "used")
    with transaction(engine) as accepting:
        assert store.has_result(accepting, "used")
        with transaction(engine) as pruning:
            assert remove_searches(pruning, OLD) == 0
    assert kept(engine) == {"used"}


def test_who_asks_while_a_result_is_removed_finds_it_gone(engine: Engine) -> None:
    searched(engine, "old")
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as pruning:
            assert remove_searches(pruning, OLD) == 1
            answer = pool.submit(_has_result, engine, "old")
            _wait_for_a_lock(engine)
        assert answer.result(10) is False


def _has_result(engine: Engine, key: str) -> bool:
    with transaction(engine) as session:
        return store.has_result(session, key)


def _wait_for_a_lock(engine: Engine) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 10
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < deadline

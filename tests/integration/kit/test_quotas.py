"""Quotas of keys: enforced with the insert, so that no number of parallel submissions overshoots."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text

from kit.auth import ApiKey, KeyLimits, Quota, create_key, prefix_of
from kit.db import transaction
from kit.jobs import Job, Submission, submit, transitions
from kit.jobs.bulk import BulkOutcome, submit_many
from kit.problems import Problem
from kit.quotas import Spending
from kit.usage import add_usage

LEASE = timedelta(seconds=30)


def key_with(engine: Engine, quota: Quota) -> str:
    with transaction(engine) as session:
        return prefix_of(create_key(session, "ann", ["plans:write"], limits=KeyLimits(quota=quota)))


def request(key: str, quota: Quota, **changes: Any) -> Submission:
    fields: dict[str, Any] = {"service": "toy", "owner": "ann", "spec": {"n": 1}, "max_attempts": 3}
    return Submission(**{**fields, "api_key": key, "quota": quota, **changes})


def send(engine: Engine, submission: Submission) -> Job:
    with transaction(engine) as session:
        return submit(session, submission).job


def send_many(engine: Engine, submissions: list[Submission], computed: set[str] = frozenset()) -> list[BulkOutcome]:  # type: ignore[assignment]
    with transaction(engine) as session:
        return submit_many(session, submissions, lambda keys: computed & set(keys))


def jobs(engine: Engine, key: str) -> int:
    with transaction(engine) as session:
        return session.scalars(select(func.count()).where(Job.api_key == key)).one()


def test_one_job_more_is_refused_until_another_has_ended(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=2)
    key = key_with(engine, quota)
    first = send(engine, request(key, quota))
    send(engine, request(key, quota))
    with pytest.raises(Problem) as refused:
        send(engine, request(key, quota))
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "5")
    [error] = refused.value.errors
    assert (error.field, error.value) == ("quota.concurrent_jobs", 2)
    assert "2 jobs of this key are queued or running, of 2" in error.message
    with transaction(engine) as session:
        transitions.cancel(session, first.id)
    send(engine, request(key, quota))


def test_parallel_submissions_do_not_overshoot_together(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=7)
    key = key_with(engine, quota)
    barrier = Barrier(20)

    def attempt(_: int) -> bool:
        barrier.wait()
        try:
            send(engine, request(key, quota))
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 7
    assert jobs(engine, key) == 7


def test_a_request_sent_again_needs_no_room(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=1)
    key = key_with(engine, quota)
    first = send(engine, request(key, quota, external_id="run-1", idempotency_key="k"))
    assert send(engine, request(key, quota, external_id="run-1")).id == first.id
    assert send(engine, request(key, quota, idempotency_key="k")).id == first.id


def test_a_result_at_hand_needs_no_room(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=1)
    key = key_with(engine, quota)
    send(engine, request(key, quota))
    assert send(engine, request(key, quota, finished=True)).status == "succeeded"


def test_a_job_that_follows_another_s_computation_takes_room(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=1)
    key = key_with(engine, quota)
    send(engine, Submission(service="toy", owner="bob", spec={}, max_attempts=3, active_key="same"))
    send(engine, request(key, quota, active_key="same"))
    with pytest.raises(Problem):
        send(engine, request(key, quota, active_key="same"))


def test_the_lines_of_a_batch_that_have_no_room_are_refused_each(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=3)
    key = key_with(engine, quota)
    send(engine, request(key, quota, external_id="run-0"))
    lines = [request(key, quota, external_id=f"run-{n}", active_key=f"k{n}") for n in range(6)]
    outcomes = send_many(engine, lines, computed={"k1", "k5"})
    told = ["new" if o.created else ("repeated" if o.job_id else "refused") for o in outcomes]
    assert told == ["repeated", "new", "new", "new", "refused", "new"]
    assert outcomes[4].problem is not None
    assert outcomes[4].problem.errors[0].field == "quota.concurrent_jobs"


def test_keys_of_one_owner_have_quotas_of_their_own(engine: Engine) -> None:
    quota = Quota(concurrent_jobs=1)
    one, other = key_with(engine, quota), key_with(engine, quota)
    send(engine, request(one, quota))
    send(engine, request(other, quota))
    assert (jobs(engine, one), jobs(engine, other)) == (1, 1)


def test_a_key_without_a_quota_is_not_held_up(engine: Engine) -> None:
    key = key_with(engine, Quota())
    with transaction(engine) as holder:
        holder.execute(select(ApiKey).where(ApiKey.prefix == key).with_for_update())
        send(engine, request(key, Quota()))


def spend(engine: Engine, job_id: UUID, tokens: int, money_usd: float) -> None:
    with transaction(engine) as session:
        add_usage(session, job_id, tokens, money_usd)


def test_money_is_promised_when_a_job_is_accepted_and_what_it_leaves_is_free_when_it_ends(engine: Engine) -> None:
    quota = Quota(money_usd_per_day=10)
    key = key_with(engine, quota)
    first = send(engine, request(key, quota, spending=Spending(money_usd=6)))
    with pytest.raises(Problem) as refused:
        send(engine, request(key, quota, spending=Spending(money_usd=5)))
    assert refused.value.status == 429
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 86_400
    [error] = refused.value.errors
    assert (error.field, error.value) == ("quota.money_usd_per_day", 6)
    assert "6 of 10 money_usd are spent or promised today, and this job may spend 5" in error.message
    assert "midnight UTC" in (error.remedy or "")
    spend(engine, first.id, tokens=100, money_usd=2)
    with pytest.raises(Problem):
        send(engine, request(key, quota, spending=Spending(money_usd=5)))
    with transaction(engine) as session:
        transitions.cancel(session, first.id)
    send(engine, request(key, quota, spending=Spending(money_usd=8)))
    with pytest.raises(Problem):
        send(engine, request(key, quota, spending=Spending(money_usd=0.01)))


def test_tokens_are_a_quota_of_their_own(engine: Engine) -> None:
    quota = Quota(tokens_per_day=1000)
    key = key_with(engine, quota)
    lines = [request(key, quota, spec={"n": n}, spending=Spending(tokens=400)) for n in range(3)]
    outcomes = send_many(engine, lines)
    assert [outcome.created for outcome in outcomes] == [True, True, False]
    assert outcomes[2].problem is not None
    assert outcomes[2].problem.errors[0].field == "quota.tokens_per_day"


def test_under_a_quota_a_job_has_to_say_what_it_may_spend(engine: Engine) -> None:
    quota = Quota(money_usd_per_day=10)
    key = key_with(engine, quota)
    with pytest.raises(Problem) as refused:
        send(engine, request(key, quota, spending=Spending()))
    assert (refused.value.status, refused.value.errors[0].field) == (422, "limits.money_usd")
    send(engine, request(key, quota))


def test_what_was_spent_yesterday_does_not_count_today(engine: Engine) -> None:
    quota = Quota(money_usd_per_day=10)
    key = key_with(engine, quota)
    old = send(engine, request(key, quota, spending=Spending(money_usd=9)))
    spend(engine, old.id, tokens=100, money_usd=9)
    with transaction(engine) as session:
        session.execute(text("UPDATE kit.job_usage SET day = day - 1"))
    send(engine, request(key, quota, spending=Spending(money_usd=10)))


def test_parallel_jobs_do_not_promise_more_than_the_quota_together(engine: Engine) -> None:
    quota = Quota(money_usd_per_day=1)
    key = key_with(engine, quota)
    barrier = Barrier(12)

    def attempt(_: int) -> bool:
        barrier.wait()
        try:
            send(engine, request(key, quota, spending=Spending(money_usd=0.25)))
        except Problem:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(attempt, range(12))) == 4

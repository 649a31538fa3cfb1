"""What jobs spend is summed by key and day."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Engine

from kit.auth import create_key, prefix_of
from kit.db import transaction
from kit.jobs import Submission, submit
from kit.usage import Spent, add_usage, settle_usage, spent_today


def job(engine: Engine, key: str | None) -> UUID:
    with transaction(engine) as session:
        return submit(session, Submission("toy", "ann", {}, 1, api_key=key)).job.id


def test_a_key_s_jobs_are_summed_and_another_s_are_not(engine: Engine) -> None:
    with transaction(engine) as session:
        mine, other = (prefix_of(create_key(session, "ann", ["plans:write"])) for _ in range(2))
    first, second, theirs, nobodys = job(engine, mine), job(engine, mine), job(engine, other), job(engine, None)
    for job_id, tokens in ((first, 100), (first, 20), (second, 3), (theirs, 1000), (nobodys, 5000)):
        with transaction(engine) as session:
            add_usage(session, job_id, tokens, tokens / 1000)
    with transaction(engine) as session:
        spent = spent_today(session, mine)
        assert (spent.tokens, round(spent.money_usd, 9)) == (123, 0.123)
        assert spent_today(session, "unknown") == Spent(0, 0.0)


def test_a_job_is_settled_at_its_whole_and_never_lowered(engine: Engine) -> None:
    with transaction(engine) as session:
        key = prefix_of(create_key(session, "ann", ["plans:write"]))
    job_id = job(engine, key)
    for tokens in (50, 80, 80, 10):
        with transaction(engine) as session:
            settle_usage(session, job_id, tokens, 0.0)
    with transaction(engine) as session:
        assert spent_today(session, key).tokens == 80

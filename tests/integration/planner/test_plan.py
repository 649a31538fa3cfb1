"""A plan's job on real stores: whose result it ends with."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine, select

from kit.db import transaction
from kit.jobs import Job, Submission, submit, transitions
from kit.worker import Leases, run_job
from planner import store
from planner.models import Search
from planner.settings import PlannerSettings
from planner.tasks import plan


def test_a_job_that_is_tried_again_takes_the_result_that_was_kept_meanwhile(
    engine: Engine, database_url: str, redis_url: str
) -> None:
    settings = PlannerSettings(database_url=database_url, redis_url=redis_url)
    with transaction(engine) as session:
        job_id = submit(session, Submission("planner", "ann", {"not": "asked again"}, 3, active_key="key")).job.id
        store.add_plans(session, [(job_id, "key")])
    with transaction(engine) as session:
        assert transitions.claim(session, job_id, "lost", timedelta(seconds=-1))
        store.save_result(session, "key", '{"mode": "kept"}')
    with transaction(engine) as session:
        assert transitions.reap(session) == 1
    with Leases(engine, settings) as leases:
        run_job(engine, settings, lambda context: plan(settings, context), job_id, leases)
    with transaction(engine) as session:
        job = session.get_one(Job, job_id)
        assert (job.status, job.attempt) == ("succeeded", 2), job.error
        assert session.scalars(select(Search.result)).one() == {"mode": "kept"}

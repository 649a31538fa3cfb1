"""A search split into shards, on real stores: who works on what, and what is left when one is lost."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from kit.db import transaction
from kit.jobs import Job, JobEvent, Submission, submit, transitions
from kit.worker import JobContext, Leases, Outcome, run_job
from planner import shards, splitting, store
from planner.engine import Part, Share, search_share
from planner.engine.size import layouts_of
from planner.models import Search, Shard
from planner.schemas import PlanRequest
from planner.settings import PlannerSettings
from planner.splitting import assist, shards_worth
from planner.tasks import plan

REQUEST = PlanRequest.model_validate(
    {
        "model": {"layers": 6, "hidden_size": 1024, "heads": 8, "vocab_size": 32000},
        "workload": {"global_batch_size": 32, "sequence_length": 1024},
        "cluster": {"gpu": "a100-80gb-sxm", "count": 8, "mode": "homogeneous"},
    }
)
LEASE = timedelta(seconds=60)
WORK = ("evaluated", "seconds")


@pytest.fixture
def settings(database_url: str, redis_url: str) -> PlannerSettings:
    """Every search is split, into at least four shards."""
    return PlannerSettings(
        database_url=database_url,
        redis_url=redis_url,
        heartbeat_seconds=0.05,
        lease_seconds=5.0,
        max_attempts=2,
        plan_split_layouts=layouts_of(REQUEST.asked()),
    )


@pytest.fixture
def job_id(engine: Engine, settings: PlannerSettings) -> UUID:
    """A job that asks ``REQUEST``."""
    return submitted(engine, settings)


def submitted(engine: Engine, settings: PlannerSettings, key: str = "key") -> UUID:
    spec = REQUEST.model_dump(mode="json", exclude={"external_id", "priority"})
    with transaction(engine) as session:
        job = submit(session, Submission("planner", "ann", spec, settings.max_attempts, active_key=key)).job
        store.add_plans(session, [(job.id, key)])
        return job.id


def run(engine: Engine, settings: PlannerSettings, job_id: UUID) -> Job:
    with Leases(engine, settings) as leases:
        run_job(engine, settings, lambda context: plan(settings, context), job_id, leases)
    return read(engine, job_id)


def read(engine: Engine, job_id: UUID) -> Job:
    with transaction(engine) as session:
        return session.get_one(Job, job_id)


def answered(engine: Engine, key: str = "key") -> dict[str, Any]:
    with transaction(engine) as session:
        return told(session.scalars(select(Search.result).where(Search.key == key)).one())


def told(result: dict[str, Any]) -> dict[str, Any]:
    return result | {"search": {name: value for name, value in result["search"].items() if name not in WORK}}


def whole() -> dict[str, Any]:
    return told(REQUEST.run().model_dump(mode="json"))


def event(engine: Engine, job_id: UUID, kind: str) -> dict[str, Any]:
    with transaction(engine) as session:
        return session.scalars(select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.type == kind)).one()


def made(engine: Engine, settings: PlannerSettings, job_id: UUID) -> int:
    """The job's shards, as a leader that was lost at once leaves them."""
    with transaction(engine) as session:
        assert transitions.claim(session, job_id, "lost", timedelta(seconds=-1))
        return shards.split(session, job_id, shards_worth(settings, REQUEST.asked()))


def reaped(engine: Engine) -> None:
    with transaction(engine) as session:
        assert transitions.reap(session) == 1


def test_a_split_search_alone_answers_what_the_whole_does(
    engine: Engine, settings: PlannerSettings, job_id: UUID
) -> None:
    job = run(engine, settings, job_id)
    assert job.status == "succeeded", job.error
    assert answered(engine) == whole()
    assert event(engine, job_id, "search.joined") == {"shards": 4, "workers": 1, "attempts": [1] * 4}
    assert job.progress == {"phase": "join", "completed": 4, "total": 4, "unit": "shards"}
    with transaction(engine) as session:
        assert shards.count(session, job_id) == 0, "what was joined is gone"


def test_small_searches_and_those_with_a_time_limit_are_not_split(settings: PlannerSettings) -> None:
    larger = settings.model_copy(update={"plan_split_layouts": settings.plan_split_layouts + 1})
    limited = REQUEST.model_copy(update={"search": REQUEST.search.model_copy(update={"time_limit_seconds": 9})})
    exhaustive = REQUEST.model_copy(update={"search": REQUEST.search.model_copy(update={"method": "exhaustive"})})
    assert shards_worth(settings, REQUEST.asked()) == 4
    assert shards_worth(larger, REQUEST.asked()) == 1
    assert shards_worth(settings, limited.asked()) == 1
    assert shards_worth(larger, exhaustive.asked()) > 4


def test_a_helper_takes_one_shard_a_call_and_the_leader_the_rest(
    engine: Engine, settings: PlannerSettings, job_id: UUID
) -> None:
    made(engine, settings, job_id)
    assist(settings, engine, job_id)
    with transaction(engine) as session:
        assert shards.done(session, job_id) == 1
    reaped(engine)
    assert run(engine, settings, job_id).attempt == 2
    assert answered(engine) == whole()
    assert event(engine, job_id, "search.joined")["attempts"] == [1, 1, 1, 1], "the helper's shard was kept"


def test_only_the_shard_of_a_lost_worker_is_searched_again(
    engine: Engine, settings: PlannerSettings, job_id: UUID
) -> None:
    made(engine, settings, job_id)
    with transaction(engine) as session:
        lost = shards.claim(session, job_id, "lost", timedelta(seconds=-1))
    assert lost is not None
    reaped(engine)
    run(engine, settings, job_id)
    attempts = event(engine, job_id, "search.joined")["attempts"]
    assert attempts == [2 if number == lost.number else 1 for number in range(4)]
    assert answered(engine) == whole()


def test_a_part_is_kept_by_the_last_attempt_only(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    total = made(engine, settings, job_id)
    with transaction(engine) as session:
        slow = shards.claim(session, job_id, "slow", timedelta(seconds=-1))
    assert slow is not None
    part = search_share(REQUEST.asked(), Share(slow.number, total))
    with transaction(engine) as session:
        session.execute(
            text("UPDATE planner.shards SET attempt = 1, part = '{}' WHERE number <> :n"), {"n": slow.number}
        )
        quick = shards.claim(session, job_id, "quick", LEASE)
    assert quick is not None
    assert (quick.number, quick.attempt) == (slow.number, 2)
    with transaction(engine) as session:
        assert not shards.keep(session, slow, part)
        assert shards.keep(session, quick, part)
        assert not shards.keep(session, quick, part), "kept once"


def test_two_never_hold_the_same_shard(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    total = made(engine, settings, job_id)
    with transaction(engine) as one, transaction(engine) as other:
        held = [shards.claim(session, job_id, "w", LEASE) for session in (one, other)]
    assert len({claim.number for claim in held if claim}) == 2
    with transaction(engine) as session:
        more = [shards.claim(session, job_id, "w", LEASE) for _ in range(total)]
    assert sum(claim is not None for claim in more) == total - 2


def test_helpers_do_not_try_a_shard_without_end(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    made(engine, settings, job_id)
    with transaction(engine) as session:
        session.execute(text("UPDATE planner.shards SET attempt = 2"))
        assert shards.claim(session, job_id, "helper", LEASE, max_attempts=2) is None
        assert shards.claim(session, job_id, "leader", LEASE) is not None


def test_no_help_for_a_job_that_is_not_wanted(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    made(engine, settings, job_id)
    with transaction(engine) as session:
        transitions.cancel(session, job_id)
    assist(settings, engine, job_id)
    with transaction(engine) as session:
        assert shards.claim(session, job_id, "w", LEASE) is None
        assert shards.done(session, job_id) == 0


def test_a_cancel_stops_the_leader_and_leaves_its_shards_to_the_next_split(
    engine: Engine, settings: PlannerSettings, job_id: UUID
) -> None:
    cancelled = threading.Event()

    def handler(context: JobContext) -> Outcome:
        with transaction(engine) as session:
            transitions.cancel(session, job_id)
        cancelled.set()
        assert context.lease.cancelled.wait(30)
        return plan(settings, context)

    with Leases(engine, settings) as leases:
        run_job(engine, settings, handler, job_id, leases)
    assert cancelled.is_set()
    assert read(engine, job_id).status == "cancelled"
    with transaction(engine) as session:
        assert shards.count(session, job_id) == 4
    another = submitted(engine, settings, "other")
    assert run(engine, settings, another).status == "succeeded"
    with transaction(engine) as session:
        assert session.scalars(select(Shard)).all() == []


def test_parts_of_another_version_are_not_joined(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    made(engine, settings, job_id)
    with transaction(engine) as session:
        session.execute(text("UPDATE planner.shards SET version = 'old', attempt = 1, part = '{}' WHERE number = 0"))
        session.execute(text("UPDATE planner.shards SET version = 'old'"))
        assert shards.claim(session, job_id, "new", LEASE) is None
    reaped(engine)
    run(engine, settings, job_id)
    assert answered(engine) == whole()


def test_a_helper_that_fails_gives_its_shard_back(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    made(engine, settings, job_id)
    with transaction(engine) as session:
        session.execute(text("UPDATE kit.jobs SET spec = jsonb_set(spec, '{model,heads}', '7')"))
    assist(settings, engine, job_id)
    with transaction(engine) as session:
        tried = session.scalars(select(Shard).where(Shard.attempt == 1)).one()
    assert (tried.lease_until, tried.part) == (None, None)


def test_without_a_broker_the_leader_works_alone(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    alone = settings.model_copy(update={"redis_url": type(settings.redis_url)("redis://127.0.0.1:1/0")})
    assert run(engine, alone, job_id).status == "succeeded"
    assert answered(engine) == whole()


def test_the_leader_does_not_wait_for_its_call(
    engine: Engine, settings: PlannerSettings, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, over, heard = threading.Event(), threading.Event(), threading.Event()

    def call(*_: object) -> None:
        called.set()
        over.wait(60)
        heard.set()

    monkeypatch.setattr(splitting, "_call", call)
    assert run(engine, settings, job_id).status == "succeeded"
    assert called.wait(10)
    assert not heard.is_set()
    over.set()


def test_a_kept_part_travels_without_loss(engine: Engine, settings: PlannerSettings, job_id: UUID) -> None:
    total = made(engine, settings, job_id)
    with transaction(engine) as session:
        held = shards.claim(session, job_id, "w", LEASE)
        assert held is not None
        part = search_share(REQUEST.asked(), Share(held.number, total))
        shards.keep(session, held, part)
    with transaction(engine) as session:
        row = session.scalars(select(Shard).where(Shard.part.is_not(None))).one()
    assert Part.model_validate(row.part) == part

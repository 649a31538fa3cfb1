"""A large search on two workers, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from tests.support.stack import Stack, events_of, running_stack

from devstack.offspring import descendants
from kit.db import make_engine
from planner.schemas import PlanRequest

WORKERS = ("planner-worker", "planner-worker-2")
LARGE: dict[str, Any] = {
    "model": {"preset": "deepseek-v3"},
    "workload": {"global_batch_size": 15360, "sequence_length": 4096},
    "cluster": {"mode": "homogeneous", "gpu": "h100-80gb-sxm", "count": 2048},
}


@pytest.fixture
def stack(database_url: str, redis_url: str) -> Iterator[Stack]:
    only = ("planner", "planner-worker", "relay")
    with running_stack(database_url, redis_url, only, ASTROLABE_PLAN_SPLIT_LAYOUTS="400000") as stack:
        stack.start(WORKERS[1], like=WORKERS[0])
        deadline = time.monotonic() + 60
        while not all(" ready." in stack.log(name) for name in WORKERS):
            assert time.monotonic() < deadline, stack.log(WORKERS[1])
            time.sleep(0.05)
        yield stack


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


def worker_of(stack: Stack, row: str) -> str:
    """Which of our workers the process that a row names belongs to."""
    pid = int(row.rpartition(":")[2])
    return next(name for name in WORKERS if pid in descendants(stack.processes[name].pid))


def caught_at_work(database: Engine, stack: Stack, job_id: str, wanted: str) -> str:
    """Stop the leader's or the helper's process in the middle of a shard while the other has one too.

    Returns the name of its worker, to be killed.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        leader, at_work = held_by(database, job_id)
        if leader in at_work and len(at_work) == 2:
            (chosen,) = {leader} if wanted == "leader" else at_work - {leader}
            pid = int(chosen.rpartition(":")[2])
            os.kill(pid, signal.SIGSTOP)
            if chosen in held_by(database, job_id)[1]:
                return worker_of(stack, chosen)
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
    raise AssertionError("the two never worked at once")


def held_by(database: Engine, job_id: str) -> tuple[str, set[str]]:
    """The process that leads the job, and those that hold a shard of it."""
    held = text("SELECT worker FROM planner.shards WHERE job_id = :id AND part IS NULL AND lease_until > now()")
    leads = text("SELECT worker FROM kit.jobs WHERE id = :id")
    with database.connect() as connection:
        return str(connection.scalar(leads, {"id": job_id})), set(connection.scalars(held, {"id": job_id}))


@pytest.mark.parametrize("killed", ["leader", "helper"])
def test_a_split_search_repeats_only_the_shard_of_the_worker_that_was_killed(
    stack: Stack, database: Engine, killed: str
) -> None:
    body = LARGE | {"search": {"top_k": 4 + (killed == "leader")}}
    with stack.client("planner") as client:
        job_id = client.post("/plans", json=body).json()["id"]
        stack.kill(caught_at_work(database, stack, job_id, killed))
        job = finished(client, f"/plans/{job_id}")
        story = events_of(client, f"/plans/{job_id}")
    assert job["status"] == "succeeded", job["error"]
    assert job["attempt"] == (2 if killed == "leader" else 1)
    (joined,) = [data for _, kind, data in story if kind == "search.joined"]
    assert joined["shards"] >= 4
    assert sorted(joined["attempts"]) == [1] * (joined["shards"] - 1) + [2]
    assert [kind for _, kind, _ in story].count("search.split") == 1
    whole = PlanRequest.model_validate(body).run().model_dump(mode="json")
    work = ("seconds", "evaluated")
    for name in ("candidates", "reasons", "best"):
        assert job[name] == whole[name]
    for name in (name for name in whole["search"] if name not in work):
        assert job["search"][name] == whole["search"][name], name


def finished(client: httpx.Client, path: str) -> dict[str, Any]:
    """Follow the job to its end."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(path, params={"wait": 30}).json()
        if job["finished_at"]:
            return job
    raise AssertionError(f"still {job['status']}")

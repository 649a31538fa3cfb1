"""The audit of a chaos run finds what it is there to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Engine, text
from tests.chaos.audit import Findings, audit
from tests.chaos.field import Field
from tests.chaos.judge import Judge
from tests.chaos.load import Receipt
from tests.chaos.orders import Order
from tests.chaos.world import Receiver

from devstack.stores.external import libpq_url
from kit.db import make_engine, transaction
from kit.jobs import Submission, submit, transitions


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE kit.jobs CASCADE"))
    yield engine
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE kit.jobs CASCADE"))
    engine.dispose()


def cancelled(engine: Engine, **more: Any) -> str:
    """A job that has ended, as its owner wished."""
    with transaction(engine) as session:
        job_id = submit(session, Submission("planner", "ann", {"n": 1}, 3, **more)).job.id
        transitions.cancel(session, job_id)
    return str(job_id)


def receipt(job_id: str, cancel_status: int | None = 202) -> Receipt:
    return Receipt(Order(1, "plan", "planner", "/plans", {}), {"id": job_id}, cancel_status)


def found(database_url: str, *receipts: Receipt) -> Findings:
    judge = Judge(lambda: libpq_url(database_url), lambda _: None)
    callers = SimpleNamespace(receipts=list(receipts), broken=[], refusals=Counter(), addresses={})
    field = SimpleNamespace(judge=judge, callers=callers, model=SimpleNamespace(asked=Counter()))
    receiver = SimpleNamespace(taken=Counter(), refused=set())
    try:
        return audit(cast("Field", field), cast("Receiver", receiver))
    finally:
        judge.close()


def test_a_clean_run_is_clean(engine: Engine, database_url: str) -> None:
    assert found(database_url, receipt(cancelled(engine))).clean


def test_a_job_that_is_gone_or_has_not_ended_is_lost(engine: Engine, database_url: str) -> None:
    with transaction(engine) as session:
        waiting = str(submit(session, Submission("planner", "ann", {"n": 1}, 3)).job.id)
    gone = "00000000-0000-7000-8000-000000000000"
    assert {job for job, _, _ in found(database_url, receipt(waiting, None), receipt(gone, None)).lost} == {
        waiting,
        gone,
    }


def test_a_second_end_and_a_life_after_the_end_are_found(engine: Engine, database_url: str) -> None:
    twice, after = cancelled(engine), cancelled(engine)
    with engine.begin() as connection:
        for job, kind in ((twice, "job.succeeded"), (after, "job.progress")):
            connection.execute(
                text("INSERT INTO kit.job_events (job_id, seq, type, data) VALUES (:job, 3, :kind, '{}')"),
                {"job": job, "kind": kind},
            )
    doubled = found(database_url, receipt(twice), receipt(after)).doubled
    assert {job for job, _, _ in doubled} == {twice, after}


def test_an_unkept_cancel_a_lost_webhook_and_an_unasked_job_are_found(engine: Engine, database_url: str) -> None:
    job = cancelled(engine, webhook_url="http://127.0.0.1:9/")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM kit.webhook_deliveries"))
    with transaction(engine) as session:
        other = submit(session, Submission("planner", "ann", {"n": 2}, 3)).job.id
        held = transitions.claim(session, other, "worker", timedelta(seconds=9))
        assert held is not None
        transitions.fail(session, held, {"type": "t", "title": "t", "detail": "broken"})
    faults = found(database_url, receipt(job), receipt(str(other))).faults
    assert any("to be cancelled and is failed" in fault for fault in faults)
    assert any("nobody was told" in fault for fault in faults)
    assert any("broken" in fault for fault in faults)
    assert any("promised" in fault for fault in found(database_url, receipt(job)).faults)

"""What the metrics count of jobs is the same before, while and after it is folded into sums."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text

from kit import totals
from kit.db import transaction
from kit.jobs import Submission, submit, tallies, transitions
from kit.jobs.bulk import submit_many
from kit.jobs.mass_cancel import cancel_many
from kit.jobs.models import ENDINGS, Job
from kit.jobs.tallies import JobCounts, job_counts
from kit.relay import Relay
from kit.settings import JobSettings
from kit.webhooks import store
from kit.webhooks.models import WebhookDelivery

LEASE = timedelta(seconds=30)
ERROR = {"type": "urn:x", "title": "x", "detail": "x"}


def request(**changes: Any) -> Submission:
    return Submission(**{"service": "toy", "owner": "ann", "spec": {"n": 1}, "max_attempts": 3, **changes})


def make(engine: Engine, **changes: Any) -> UUID:
    with transaction(engine) as session:
        return submit(session, request(**changes)).job.id


def end_in_every_way(engine: Engine) -> None:
    """Two born succeeded, two succeeded (one followed the other), one failed, two cancelled."""
    make(engine, finished=True)
    leader = make(engine, active_key="same")
    make(engine, active_key="same")
    failing, cancelled, swept = (make(engine) for _ in range(3))
    with transaction(engine) as session:
        submit_many(session, [request(active_key="known")], lambda keys: keys)
        for job_id, well in ((leader, True), (failing, False)):
            held = transitions.claim(session, job_id, "worker", LEASE)
            assert held
            transitions.succeed(session, held) if well else transitions.fail(session, held, ERROR)
        transitions.cancel(session, cancelled)
        cancel_many(session, [swept])


def counts(engine: Engine, service: str = "toy") -> JobCounts:
    with transaction(engine) as session:
        return job_counts(session, service)


def noted(engine: Engine) -> int:
    with transaction(engine) as session:
        return session.scalar(select(func.count()).select_from(ENDINGS)) or 0


def fold(engine: Engine) -> int:
    with transaction(engine) as session:
        return tallies.fold(session)


def test_every_way_to_end_counts_once(engine: Engine) -> None:
    end_in_every_way(engine)
    counted = counts(engine).counted
    assert {label: value for (name, label), value in counted.items() if name == "ended"} == {
        "succeeded": 4,
        "failed": 1,
        "cancelled": 2,
    }
    assert noted(engine) == 7


def test_folding_changes_no_counter(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_FOLDED_AT_ONCE", 4)
    end_in_every_way(engine)
    before = counts(engine).counted
    assert fold(engine) == 4
    assert counts(engine).counted == pytest.approx(before)
    assert (fold(engine), fold(engine)) == (3, 0)
    assert counts(engine).counted == pytest.approx(before)
    assert noted(engine) == 0
    end_in_every_way(engine)
    assert counts(engine).counted["ended", "succeeded"] == 8


def test_a_reader_beside_a_fold_counts_once(engine: Engine) -> None:
    end_in_every_way(engine)
    with transaction(engine) as folding:
        tallies.fold(folding)
        assert counts(engine).counted["ended", "succeeded"] == 4
        assert fold(engine) == 0
    assert counts(engine).counted["ended", "succeeded"] == 4


def test_services_are_counted_apart(engine: Engine) -> None:
    end_in_every_way(engine)
    make(engine, service="other", finished=True)
    fold(engine)
    assert counts(engine, "other").counted["ended", "succeeded"] == 1


def test_what_goes_on_is_counted_with_those_who_follow(engine: Engine) -> None:
    end_in_every_way(engine)
    leader = make(engine, active_key="again")
    make(engine, active_key="again")
    make(engine)
    with transaction(engine) as session:
        transitions.claim(session, leader, "worker", timedelta(seconds=-1))
    assert counts(engine).active == {"queued": 1, "running": 2, "cancelling": 0}
    with transaction(engine) as session:
        assert transitions.reap(session) == 1
    state = counts(engine)
    assert state.active == {"queued": 3, "running": 0, "cancelling": 0}
    assert state.counted["lease_expiries", ""] == 1
    assert state.oldest_queued_seconds > 0


def test_deliveries_are_pending_and_then_counted(engine: Engine) -> None:
    make(engine, finished=True, webhook_url="https://receiver.example/hook")
    assert counts(engine).pending_deliveries == 1
    for expected in (1, 2):
        with transaction(engine) as session:
            (delivery,) = store.take_due(session, 1, LEASE)
        with transaction(engine) as session:
            store.record(session, delivery, 204, None)
        state = counts(engine)
        assert state.pending_deliveries == 0
        assert state.counted["deliveries", "delivered"] == expected
        with transaction(engine) as session:
            store.redeliver(session, delivery.job_id, delivery.id)


def test_an_answer_that_comes_too_late_is_not_counted(engine: Engine) -> None:
    make(engine, finished=True, webhook_url="https://receiver.example/hook")
    with transaction(engine) as session:
        (delivery,) = store.take_due(session, 1, LEASE)
    with transaction(engine) as session:
        session.execute(text("UPDATE kit.webhook_deliveries SET attempts = attempts + 1"))
        store.record(session, delivery, 204, None)
        assert session.scalar(select(WebhookDelivery.status)) == "pending"
    assert ("deliveries", "delivered") not in counts(engine).counted


def test_a_relay_folds_all_there_is(engine: Engine, database_url: str, redis_url: str) -> None:
    end_in_every_way(engine)
    relay = Relay(JobSettings(database_url=database_url, redis_url=redis_url))  # type: ignore[arg-type]
    relay.turn()
    relay.close()
    assert noted(engine) == 0
    with transaction(engine) as session:
        assert totals.read(session, "toy")["ended", "toy", "succeeded"] == 4
        assert session.scalar(select(func.count()).where(Job.finished_at.is_not(None))) == 7

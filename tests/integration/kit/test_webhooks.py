"""Webhooks to a real receiver: signed, retried, once per end, and never to an address inside."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text
from tests.support.scripted_http import Answer, Asked, ScriptedServer

from kit.db import transaction
from kit.jobs import Submission, submit, transitions
from kit.settings import JobSettings
from kit.webhooks import store
from kit.webhooks.courier import Courier
from kit.webhooks.guard import ForbiddenTargetError, resolve

LEASE = timedelta(seconds=30)


@pytest.fixture
def receiver() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda _: Answer()) as server:
        yield server


@pytest.fixture
async def courier(database_url: str, redis_url: str) -> AsyncIterator[Courier]:
    courier = Courier(JobSettings(database_url=database_url, redis_url=redis_url, webhook_allow_private=True))
    yield courier
    await courier.close()


def end(engine: Engine, url: str, **fields: Any) -> UUID:
    """A job that has ended and wants to be told."""
    with transaction(engine) as session:
        job = submit(session, Submission("toy", "ann", {"n": 1}, 3, webhook_url=url, **fields)).job
    with transaction(engine) as session:
        held = transitions.claim(session, job.id, "worker", LEASE)
    assert held is not None
    with transaction(engine) as session:
        transitions.succeed(session, held)
    return job.id


def only_delivery(engine: Engine, job_id: UUID) -> Any:
    with transaction(engine) as session:
        (delivery,) = store.deliveries(session, job_id)
    return delivery


def due_now(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE kit.webhook_deliveries SET next_attempt_at = now() WHERE status = 'pending'"))


def is_signed(asked: Asked, secret: str) -> bool:
    """As the specification says a receiver verifies."""
    headers = {name.lower(): value for name, value in asked.headers.items()}
    body = json.dumps(asked.body, separators=(",", ":")).encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return wanted in headers["webhook-signature"].split(" ")


async def test_the_end_of_a_job_is_told_once_and_signed(
    engine: Engine, courier: Courier, receiver: ScriptedServer
) -> None:
    job_id = end(engine, receiver.url + "/hook", external_id="run-7", labels={"team": "nlp"})
    assert await courier.turn() == 1
    assert await courier.turn() == 0
    (asked,) = receiver.asked
    assert asked.body["type"] == "job.succeeded"
    assert asked.body["data"]["id"] == str(job_id)
    assert (asked.body["data"]["external_id"], asked.body["data"]["labels"]) == ("run-7", {"team": "nlp"})
    with transaction(engine) as session:
        (secret,) = store.secrets_of(session, "ann")
    assert is_signed(asked, secret)
    assert not is_signed(asked, "whsec_" + base64.b64encode(b"another").decode())
    assert (only_delivery(engine, job_id).status, only_delivery(engine, job_id).response_status) == ("delivered", 200)


async def test_no_delivery_meets_a_connection_that_its_receiver_is_closing(engine: Engine, courier: Courier) -> None:
    with ScriptedServer(lambda _: Answer(), closes_idle=True) as receiver:
        for _ in range(2):
            job_id = end(engine, receiver.url)
            assert await courier.turn() == 1
            assert only_delivery(engine, job_id).status == "delivered"
    assert (receiver.count(), receiver.hung_up) == (2, 0)


async def test_followers_are_told_too(engine: Engine, courier: Courier, receiver: ScriptedServer) -> None:
    with transaction(engine) as session:
        jobs = [
            submit(session, Submission("toy", owner, {"n": 1}, 3, active_key="a", webhook_url=receiver.url)).job.id
            for owner in ("ann", "bob", "eve")
        ]
    with transaction(engine) as session:
        transitions.cancel(session, jobs[2])
    with transaction(engine) as session:
        held = transitions.claim(session, jobs[0], "worker", LEASE)
    assert held is not None
    with transaction(engine) as session:
        transitions.succeed(session, held)
    assert await courier.turn() == 3
    told = {asked.body["data"]["id"]: asked.body["type"] for asked in receiver.asked}
    assert told == dict(zip(map(str, jobs), ["job.succeeded", "job.succeeded", "job.cancelled"], strict=True))


async def test_a_cached_answer_is_told_too(engine: Engine, courier: Courier, receiver: ScriptedServer) -> None:
    with transaction(engine) as session:
        submit(session, Submission("toy", "ann", {"n": 1}, 3, webhook_url=receiver.url, finished=True))
    assert await courier.turn() == 1
    assert receiver.asked[0].body["type"] == "job.succeeded"


async def test_a_failing_receiver_is_tried_again(engine: Engine, courier: Courier, receiver: ScriptedServer) -> None:
    answers = [Answer(500), Answer(drop=True), Answer(302, headers={"Location": receiver.url}), Answer(204, b"")]
    receiver.script = lambda asked: answers[asked.occurrence - 1]
    job_id = end(engine, receiver.url)
    for attempt, (status, error) in enumerate(
        [(500, "answered 500"), (None, "no answer"), (302, "answered 302"), (204, None)], 1
    ):
        assert await courier.turn() == 1
        assert await courier.turn() == 0, "it waits for its time"
        delivery = only_delivery(engine, job_id)
        assert (delivery.attempts, delivery.response_status) == (attempt, status)
        assert (delivery.error or "").startswith(error or "")
        due_now(engine)
    assert only_delivery(engine, job_id).status == "delivered"
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1


async def test_a_receiver_that_is_gone_is_not_asked_again(
    engine: Engine, courier: Courier, receiver: ScriptedServer
) -> None:
    receiver.script = lambda _: Answer(410)
    job_id = end(engine, receiver.url)
    await courier.turn()
    due_now(engine)
    assert await courier.turn() == 0
    assert only_delivery(engine, job_id).status == "failed"
    with transaction(engine) as session:
        store.redeliver(session, job_id, only_delivery(engine, job_id).id)
    receiver.script = lambda _: Answer()
    assert await courier.turn() == 1
    assert only_delivery(engine, job_id).status == "delivered"


async def test_attempts_end_with_the_schedule(engine: Engine, courier: Courier, receiver: ScriptedServer) -> None:
    receiver.script = lambda _: Answer(503)
    job_id = end(engine, receiver.url)
    tries = 0
    while only_delivery(engine, job_id).status == "pending":
        tries += await courier.turn()
        due_now(engine)
    assert tries == 10
    assert only_delivery(engine, job_id).status == "failed"


async def test_two_couriers_send_nothing_twice(
    engine: Engine, courier: Courier, receiver: ScriptedServer, database_url: str, redis_url: str
) -> None:
    other = Courier(JobSettings(database_url=database_url, redis_url=redis_url, webhook_allow_private=True))
    for _ in range(10):
        end(engine, receiver.url)
    await asyncio.gather(courier.turn(), other.turn())
    await other.close()
    ids = [asked.body["data"]["id"] for asked in receiver.asked]
    assert len(ids) == len(set(ids)) == 10


async def test_an_address_inside_is_refused_and_said_so(
    engine: Engine, receiver: ScriptedServer, database_url: str, redis_url: str
) -> None:
    strict = Courier(JobSettings(database_url=database_url, redis_url=redis_url))
    job_id = end(engine, receiver.url)
    await strict.turn()
    await strict.close()
    assert receiver.asked == []
    assert "not a public address" in only_delivery(engine, job_id).error


async def test_after_a_rotation_both_secrets_sign(engine: Engine, courier: Courier, receiver: ScriptedServer) -> None:
    with transaction(engine) as session:
        (old,) = store.secrets_of(session, "ann")
        new = store.rotate_secret(session, "ann")
    end(engine, receiver.url)
    await courier.turn()
    assert is_signed(receiver.asked[0], old)
    assert is_signed(receiver.asked[0], new)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost:8003/", "http://[::1]/", "http://10.0.0.8/", "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data", "http://[::ffff:127.0.0.1]/", "http://[2002:7f00:1::]/",
        "http://0.0.0.0/", "http://2130706433/", "http://0x7f.1/", "http://224.0.0.1/", "http://100.64.0.1/",
        "ftp://93.184.216.34/", "file:///etc/passwd", "http://no-such-name.invalid/",
    ],
)  # fmt: skip
def test_no_way_inside(url: str) -> None:
    with pytest.raises(ForbiddenTargetError):
        resolve(url, allow_private=False)


def test_the_connection_is_pinned_to_what_was_checked() -> None:
    target = resolve("https://93.184.216.34:8443/hook?x=1", allow_private=False)
    assert (str(target.url), target.host_header, target.server_name) == (
        "https://93.184.216.34:8443/hook?x=1",
        "93.184.216.34:8443",
        "93.184.216.34",
    )
    named = resolve("http://localhost:81/hook", allow_private=True)
    assert named.host_header == "localhost:81"
    assert named.url.host in {"127.0.0.1", "::1"}

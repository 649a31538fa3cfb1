"""The relay against the real Redis: what is rung, and what when the broker forgets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text

from kit.db import transaction
from kit.jobs import Submission, submit
from kit.queue import task_name
from kit.relay import Relay
from kit.settings import JobSettings

QUEUE = task_name("toy")


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def relay(engine: Engine, broker: redis.Redis, database_url: str, redis_url: str) -> Iterator[Relay]:
    relay = Relay(JobSettings(database_url=database_url, redis_url=redis_url))
    yield relay
    relay.close()


def accept(engine: Engine) -> UUID:
    with transaction(engine) as session:
        return submit(session, Submission("toy", "ann", {"n": 1}, 3)).job.id


def rung(broker: redis.Redis) -> list[str]:
    messages = [json.loads(message) for message in broker.lrange(QUEUE, 0, -1)]
    broker.delete(QUEUE)
    return sorted(message["headers"]["argsrepr"].strip("[]('),") for message in messages)


def test_every_accepted_job_is_rung_once(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    ids = sorted(str(accept(engine)) for _ in range(5))
    relay.turn()
    assert rung(broker) == ids
    relay.turn()
    assert rung(broker) == []


def test_a_queue_is_filled_up_once_it_is_half_empty(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    for _ in range(70):
        accept(engine)
    waiting = []
    for left in (0, 33, 32, 0):
        broker.ltrim(QUEUE, 0, left - 1) if left else broker.delete(QUEUE)
        relay.turn()
        waiting.append(broker.llen(QUEUE))
    assert waiting == [64, 33, 38, 0]


def test_a_broker_that_lost_its_data_is_told_again(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    job_id = str(accept(engine))
    relay.turn()
    broker.flushdb()
    relay.turn()
    assert rung(broker) == [job_id]


def test_a_broker_that_is_away_keeps_nothing_from_the_outbox(
    engine: Engine, database_url: str, broker: redis.Redis, relay: Relay
) -> None:
    job_id = str(accept(engine))
    lost = Relay(JobSettings(database_url=database_url, redis_url="redis://127.0.0.1:1/0"))
    with pytest.raises(redis.RedisError):
        lost.turn()
    lost.close()
    relay.turn()
    assert rung(broker) == [job_id]


def test_messages_taken_by_a_dead_worker_are_rung_again(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    job_id = str(accept(engine))
    relay.turn()
    assert rung(broker) == [job_id]
    with engine.begin() as connection:
        connection.execute(text("UPDATE kit.jobs SET dispatched_at = now() - interval '10 minutes'"))
    relay.next_lost_check = 0.0
    relay.turn()
    assert rung(broker) == [job_id]


def test_waiting_messages_are_not_rung_again(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    job_id = str(accept(engine))
    relay.turn()
    with engine.begin() as connection:
        connection.execute(text("UPDATE kit.jobs SET dispatched_at = now() - interval '10 minutes'"))
    relay.next_lost_check = 0.0
    relay.turn()
    assert rung(broker) == [job_id]


def test_a_lost_message_is_rung_again_while_others_wait(relay: Relay, broker: redis.Redis, engine: Engine) -> None:
    lost, waiting = str(accept(engine)), str(accept(engine))
    relay.turn()
    messages = {json.loads(message)["headers"]["id"]: message for message in broker.lrange(QUEUE, 0, -1)}
    assert set(messages) == {lost, waiting}
    broker.lrem(QUEUE, 1, messages[lost])
    with engine.begin() as connection:
        connection.execute(text("UPDATE kit.jobs SET dispatched_at = now() - interval '10 minutes'"))
    relay.next_lost_check = 0.0
    relay.turn()
    assert rung(broker) == sorted([lost, waiting])


def test_a_channel_with_messages_in_hand_closes_after_its_connection(
    relay: Relay, broker: redis.Redis, engine: Engine
) -> None:
    """What a worker does that lost the broker; an error here would end it."""
    accept(engine)
    relay.turn()
    connection = relay.celery.connection_for_read()
    channel = connection.channel()
    assert channel.basic_get(QUEUE) is not None
    channel._disconnect_pools()
    connection.transport.client = None
    channel.close()
    assert channel.closed

"""The relay: rings the doorbells that the outbox asks for, returns lost jobs, notices a broker that forgot."""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import redis
from kombu.exceptions import OperationalError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from kit import retention
from kit.batches.store import cancel_some
from kit.db import make_engine, transaction
from kit.jobs import tallies, transitions
from kit.jobs.outbox import OUTBOX_CHANNEL, ring, ring_again, take, unanswered, waiting_services
from kit.log import get_logger
from kit.queue import make_celery, task_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from celery import Celery
    from sqlalchemy import Connection, Engine

    from kit.settings import JobSettings

_IN_QUEUE = 64
"""Messages of a service that wait in the broker at most: what waits in Postgres can still be put in fair order."""
_REFILL_BELOW = 32
"""Messages in the broker from which on a service's queue is filled up: to choose the next jobs costs the same for many
as for one."""
_BACKLOG_SECONDS = 0.05
_FOLD_EVERY_SECONDS = 5.0
_BROKER_EPOCH_KEY = "astrolabe:broker-epoch"
_AWAY = (SQLAlchemyError, OperationalError, redis.RedisError, OSError)

logger = get_logger(__name__)


@dataclass(slots=True)
class Relay:
    """Any number may run: rows are taken with SKIP LOCKED, and a doorbell rung twice is harmless."""

    settings: JobSettings
    engine: Engine = field(init=False)
    celery: Celery = field(init=False)
    broker: redis.Redis = field(init=False)
    epoch: str | None = None
    next_round: float = 0.0
    next_lost_check: float = 0.0
    next_folding: float = 0.0
    pruning: Iterator[tuple[str, int]] | None = None
    next_pruning: float = 0.0
    backlog: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.engine = make_engine(self.settings.database_url.get_secret_value(), pool_size=2)
        self.celery = make_celery(self.settings)
        self.broker = redis.Redis.from_url(
            self.settings.redis_url.get_secret_value(),
            decode_responses=True,
            socket_timeout=5,
            socket_connect_timeout=3,
        )

    def run(self) -> None:
        """Work until ``stopping`` is set. A store that is away is waited for."""
        while not self.stopping.is_set():
            try:
                self._listen()
            except _AWAY as error:
                logger.warning("a store is away, trying again", error=type(error).__name__, detail=str(error)[:200])
                self.stopping.wait(self.settings.relay_interval_seconds)

    def _listen(self) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"LISTEN {OUTBOX_CHANNEL}"))
            asked = True
            while not self.stopping.is_set():
                if time.monotonic() >= self.next_round:
                    self.keep_house()
                    asked = True
                if asked:
                    self.ring_doorbells()
                else:
                    self._publish_to(self.backlog)
                asked = self._wait(connection)

    def turn(self) -> None:
        """One round of everything."""
        self.keep_house()
        self.ring_doorbells()

    def keep_house(self) -> None:
        """What need not follow every doorbell: a forgetful broker, lost jobs, cancelled batches, sums, pruning."""
        self._check_broker()
        with transaction(self.engine) as session:
            if returned := transitions.reap(session):
                logger.warning("jobs returned, their lease ran out", jobs=returned)
            cancelling = cancel_some(session) > 0
        self._ring_for_lost_messages()
        self._fold_tallies()
        self._prune_some()
        seconds = _BACKLOG_SECONDS if cancelling else self.settings.relay_interval_seconds
        self.next_round = time.monotonic() + seconds

    def ring_doorbells(self) -> None:
        """Ring what waits in the outbox, as far as the broker's queues have room."""
        with transaction(self.engine) as session:
            services = waiting_services(session)
        self._publish_to(services)

    def _publish_to(self, services: Sequence[str]) -> None:
        """Fill up the services' queues, and note those that have more to be rung."""
        self.backlog = [service for service in services if self._publish(service)]

    def _wait(self, connection: Connection) -> bool:
        """Until a doorbell is asked for, or it is time to go on. Requests meanwhile are answered together.

        Returns whether one was.
        """
        driver = connection.connection.driver_connection
        if driver is None:
            return False
        seconds = _BACKLOG_SECONDS if self.backlog else max(0.0, self.next_round - time.monotonic())
        asked = more = len(list(driver.notifies(timeout=seconds, stop_after=1)))
        while more:
            more = len(list(driver.notifies(timeout=0)))
        return asked > 0

    def _publish(self, service: str) -> bool:
        """Ring as many doorbells as the broker has room for. If it refuses, the rollback puts them back.

        Returns whether there may be more.
        """
        queue = task_name(service)
        waiting = self.broker.llen(queue)
        if waiting > _REFILL_BELOW:
            return True
        room = _IN_QUEUE - waiting
        with transaction(self.engine) as session:
            job_ids = take(session, service, room)
            with self.celery.producer_pool.acquire(block=True) as producer:
                for job_id in job_ids:
                    self.celery.send_task(
                        queue, args=[str(job_id)], task_id=str(job_id), queue=queue, producer=producer, retry=False
                    )
        return len(job_ids) == room

    def _check_broker(self) -> None:
        """Ring again for all queued jobs when the broker is not the one we knew: its data may be lost."""
        known = self.broker.get(_BROKER_EPOCH_KEY)
        if known is not None and known == self.epoch:
            return
        fresh = known if isinstance(known, str) else str(uuid4())
        with transaction(self.engine) as session:
            rung = ring_again(session)
        self.broker.set(_BROKER_EPOCH_KEY, fresh)
        self.epoch = fresh
        logger.info("broker is new to this relay, rang for queued jobs", jobs=rung)

    def _ring_for_lost_messages(self) -> None:
        """Ring again for jobs that nobody claims and whose message is gone: a worker that died had taken it."""
        if time.monotonic() < self.next_lost_check:
            return
        lease = timedelta(seconds=self.settings.lease_seconds)
        self.next_lost_check = time.monotonic() + lease.total_seconds() / 3
        with transaction(self.engine) as session:
            for service, waiting in unanswered(session, lease).items():
                there = self._ids_in_queue(service)
                if lost := [job_id for job_id in waiting if str(job_id) not in there]:
                    ring(session, lost)
                    logger.warning("messages were lost, rang again", waiting_service=service, jobs=len(lost))

    def _ids_in_queue(self, service: str) -> frozenset[str]:
        """The jobs whose messages wait in the broker; a message is sent under its job's id."""
        messages = cast("list[str]", self.broker.lrange(task_name(service), 0, -1))
        return frozenset(json.loads(message)["headers"]["id"] for message in messages)

    def _fold_tallies(self) -> None:
        """Bring the totals up to date from time to time; all at once, for what waits makes scrapes slower."""
        if time.monotonic() < self.next_folding:
            return
        self.next_folding = time.monotonic() + _FOLD_EVERY_SECONDS
        folded = 1
        while folded:
            with transaction(self.engine) as session:
                folded = tallies.fold(session)

    def _prune_some(self) -> None:
        """One chunk of a pass over what is too old: doorbells do not wait for the whole."""
        if self.pruning is None:
            if time.monotonic() < self.next_pruning:
                return
            self.next_pruning = time.monotonic() + self.settings.prune_interval_seconds
            self.pruning = retention.pass_over(self.engine, self.settings)
        what, rows = next(self.pruning, ("", 0))
        if rows:
            logger.info("pruned", what=what, rows=rows)
        if not what:
            self.pruning = None

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()
        self.celery.close()
        self.broker.close()

    def stop(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask ``run`` to return after the round in hand."""
        del signum, frame
        self.stopping.set()


def serve(settings: JobSettings) -> None:
    """Run a relay until SIGTERM or SIGINT."""
    relay = Relay(settings)
    signal.signal(signal.SIGTERM, relay.stop)
    signal.signal(signal.SIGINT, relay.stop)
    logger.info("relay started")
    relay.run()
    relay.close()

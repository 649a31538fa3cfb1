"""Celery: the doorbell. A message carries a job's id and nothing else; what to do is in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from celery import Celery
from kombu.transport import redis as kombu_redis

from kit.log import get_logger

if TYPE_CHECKING:
    from kit.settings import JobSettings

RUN_TASK = "run"

logger = get_logger(__name__)


class _QoS(kombu_redis.QoS):
    """Puts messages back when a channel closes, if it can; those it cannot, the relay rings for again."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        try:
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except Transport.connection_errors as error:
            logger.warning("messages not put back, the relay will ring again", error=type(error).__name__)


class _Channel(kombu_redis.Channel):
    """Says that a closed connection is closed, where kombu 5.7 ends the worker with an ``AttributeError``.

    That happens to a worker that lost Redis and still has messages to acknowledge or to put back.
    """

    QoS = _QoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("the connection to the broker is closed")
        parameters: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        return parameters


class Transport(kombu_redis.Transport):
    """Redis as the broker, for Celery's ``broker_transport``."""

    Channel = _Channel


def task_name(service: str) -> str:
    """The task that runs a job of ``service``, which is also the name of its queue's prefix."""
    return f"{service}.{RUN_TASK}"


def assist_name(service: str) -> str:
    """The task by which a running job of ``service`` calls for help, in the same queue."""
    return f"{service}.assist"


def make_celery(settings: JobSettings) -> Celery:
    """A Celery application for both sides, set to lose no message (``unacked_restore_*``: celery/kombu#2558)."""
    app = Celery("astrolabe", broker=settings.redis_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=settings.job_time_limit_seconds,
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_soft_shutdown_timeout=5,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport=f"{__name__}:{Transport.__name__}",
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_seconds,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 3,
            "socket_timeout": 10,
            "socket_keepalive": True,
        },
    )
    return app

"""Celery: the doorbell. A message carries a job's id and nothing else; what to do is in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

if TYPE_CHECKING:
    from kit.settings import JobSettings

RUN_TASK = "run"


def task_name(service: str) -> str:
    """The one task of ``service``, which is also the name of its queue's prefix."""
    return f"{service}.{RUN_TASK}"


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
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_seconds,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 3,
            "socket_timeout": 10,
        },
    )
    return app

"""A Celery worker of one service, with a database engine for each child process, made after the fork."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from celery.signals import setup_logging, worker_process_init

from kit import log
from kit.db import make_engine
from kit.queue import make_celery, task_name
from kit.worker.run import Handler, run_job

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kit.settings import JobSettings

_PR_SET_PDEATHSIG = 1
_CONNECTIONS_PER_CHILD = 4


@dataclass(slots=True)
class _Child:
    """What a child process holds."""

    engine: Engine | None = None


def serve(service: str, settings: JobSettings, handler: Handler) -> None:
    """Run the worker until SIGTERM (warm: jobs in hand get some seconds, then their lease runs out)."""
    app = make_celery(settings)
    child = _Child()
    queue = task_name(service)

    def start_child(**_: object) -> None:
        _die_with_parent()
        child.engine = make_engine(settings.database_url.get_secret_value(), _CONNECTIONS_PER_CHILD)

    def start_logging(**_: object) -> None:
        log.configure(settings, f"{service}-worker")

    def run(job_id: str) -> None:
        if child.engine is None:
            msg = "the child process was not initialised"
            raise RuntimeError(msg)
        run_job(child.engine, settings, handler, UUID(job_id))

    worker_process_init.connect(start_child, weak=False)
    setup_logging.connect(start_logging, weak=False)
    app.task(name=queue, shared=False)(run)
    app.worker_main(
        [
            "worker",
            "--pool=prefork",
            f"--concurrency={settings.worker_concurrency}",
            f"--queues={queue}",
            f"--hostname={service}@%h-{os.getpid()}",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _die_with_parent() -> None:
    """A child must not outlive a worker that was killed: it would work on without a lease."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

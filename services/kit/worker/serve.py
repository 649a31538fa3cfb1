"""A Celery worker of one service, with a database engine for each child process, made after the fork."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from celery.signals import setup_logging, worker_init, worker_process_init, worker_shutting_down

from kit import log
from kit.db import make_engine
from kit.queue import assist_name, make_celery, task_name
from kit.worker.leases import Leases
from kit.worker.run import Handler, run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from sqlalchemy import Engine

    from kit.settings import JobSettings

_PR_SET_PDEATHSIG = 1
_CONNECTIONS_PER_CHILD = 4
_CONNECTIONS_WITH_THREADS = 16
_STOP_SECONDS = 2.0


@dataclass(slots=True)
class _Child:
    """What a process that runs jobs holds, made after the fork."""

    engine: Engine
    leases: Leases


def serve(
    service: str,
    settings: JobSettings,
    handler: Handler,
    *,
    threads: int | None = None,
    on_stop: Callable[[], None] | None = None,
    assist: Callable[[Engine, UUID], None] | None = None,
) -> None:
    """Run the worker until SIGTERM (warm: jobs in hand get some seconds, then their lease runs out).

    ``threads``: hold so many jobs at once in this one process, for work that mostly waits; its handler bounds each
    job's time, which Celery can't do to a thread. ``on_stop`` is called some seconds after SIGTERM, to end the jobs.
    ``assist`` answers the call of a job that another process runs and that is ready to share its work.
    """
    app = make_celery(settings)
    child: list[_Child] = []
    queue = task_name(service)
    parent = os.getpid()

    def start_child(**_: object) -> None:
        _die_with_parent(parent)
        child.append(_made(settings, _CONNECTIONS_PER_CHILD))

    def start_logging(**_: object) -> None:
        log.configure(settings, f"{service}-worker")

    def run(job_id: UUID) -> None:
        (mine,) = child
        run_job(mine.engine, settings, handler, job_id, mine.leases)

    def help_with(job_id: UUID) -> None:
        (mine,) = child
        if assist is not None:
            assist(mine.engine, job_id)

    def start_process(**_: object) -> None:
        child.append(_made(settings, _CONNECTIONS_WITH_THREADS))

    def stop(**_: object) -> None:
        if on_stop is not None:
            threading.Timer(_STOP_SECONDS, on_stop).start()

    worker_process_init.connect(start_child, weak=False)
    if threads is not None:
        worker_init.connect(start_process, weak=False)
    worker_shutting_down.connect(stop, weak=False)
    setup_logging.connect(start_logging, weak=False)
    _add_task(app, queue, run)
    _add_task(app, assist_name(service), help_with)
    app.worker_main(
        [
            "worker",
            "--pool=prefork" if threads is None else "--pool=threads",
            f"--concurrency={settings.worker_concurrency if threads is None else threads}",
            f"--queues={queue}",
            f"--hostname={service}@%h-{os.getpid()}",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _add_task(app: Celery, name: str, work: Callable[[UUID], None]) -> None:
    """Register a task of one argument, a job's id."""

    def task(job_id: str) -> None:
        work(UUID(job_id))

    app.task(name=name, shared=False)(task)


def _made(settings: JobSettings, connections: int) -> _Child:
    engine = make_engine(settings.database_url.get_secret_value(), connections)
    return _Child(engine, Leases(engine, settings))


def _die_with_parent(parent: int) -> None:
    """A child must not outlive a worker that was killed: it would work on without a lease.

    A worker killed before the kernel was told is noticed by the child having another parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

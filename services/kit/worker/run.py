"""Run one job: claim it, do the work, and end it in one transaction with its result."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
import tenacity
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from kit import tracing
from kit.db import transaction
from kit.jobs import transitions
from kit.jobs.transitions import ClaimLostError
from kit.log import get_logger
from kit.problems import Problem
from kit.worker.context import CancelledByOwnerError, JobContext, TransientError

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from kit.jobs.models import Job
    from kit.jobs.transitions import Claimed
    from kit.settings import JobSettings
    from kit.worker.leases import Leases


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the work came to. ``store`` writes it as the job ends, in one transaction; ``error`` makes it a failure."""

    store: Callable[[Session], None]
    error: Problem | None = None


Handler = Callable[[JobContext], Outcome]
"""Does the work of one job. What it raises decides the job's end: see ``_work``."""

_PATIENCE_SECONDS = 30.0

logger = get_logger(__name__)


def worker_name() -> str:
    """This process, as the rows of what it holds name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def run_job(engine: Engine, settings: JobSettings, handler: Handler, job_id: UUID, leases: Leases) -> None:
    """Run the job if it is to be had; otherwise leave quietly, for a doorbell may ring twice."""
    held = _claim(engine, job_id, timedelta(seconds=settings.lease_seconds))
    if held is None:
        logger.debug("job not to be had", job_id=str(job_id))
        return
    job = held.job
    with (
        structlog.contextvars.bound_contextvars(job_id=str(job_id), attempt=held.attempt, request_id=job.request_id),
        tracing.job_span(f"{job.service} job", job.traceparent, _attributes(job)),
        leases.kept(held) as kept,
    ):
        context = JobContext(
            engine,
            settings,
            held,
            job.spec,
            job.active_key,
            job.request_id,
            job.started_at or datetime.now(UTC),
            kept,
        )
        _work(engine, handler, context)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type((OperationalError, InterfaceError)),
    wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=1.0, jitter=0.1),
    stop=tenacity.stop_after_delay(_PATIENCE_SECONDS),
    reraise=True,
)
def _claim(engine: Engine, job_id: UUID, lease: timedelta) -> Claimed | None:
    """The claim. A database that is away is waited for: failing would use up every message there is."""
    with transaction(engine) as session:
        return transitions.claim(session, job_id, worker_name(), lease)


def _attributes(job: Job) -> dict[str, str | int | float]:
    """What a job's span says; the seconds it waited stand for the relay and the broker."""
    waited = ((job.started_at or job.created_at) - job.created_at).total_seconds()
    return {
        "astrolabe.job.id": str(job.id),
        "astrolabe.job.attempt": job.attempt,
        "astrolabe.job.waited_seconds": waited,
    }


def _work(engine: Engine, handler: Handler, context: JobContext) -> None:
    held = context.held
    try:
        outcome = handler(context)
        with transaction(engine) as session:
            if outcome.error is None:
                transitions.succeed(session, held)
            else:
                transitions.fail(session, held, _error_of(outcome.error))
            outcome.store(session)
    except ClaimLostError:
        logger.warning("job lost to another attempt")
    except CancelledByOwnerError:
        _settle(engine, lambda session: transitions.acknowledge_cancel(session, held))
    except (TransientError, OperationalError, InterfaceError) as fault:
        error = _error_of(fault)
        reason = str(fault) if isinstance(fault, TransientError) else "database away"
        logger.warning("job released", reason=reason)
        _settle(engine, lambda session: transitions.release(session, held, reason, error))
    except Exception as fault:
        error = _error_of(fault)
        logger.warning("job failed", error=error, exc_info=None if isinstance(fault, Problem) else fault)
        _settle(engine, lambda session: transitions.fail(session, held, error))


def _settle(engine: Engine, write: Callable[[Session], None]) -> None:
    """Write the job's end. When that is impossible the lease runs out and the reaper writes it."""
    try:
        with transaction(engine) as session:
            write(session)
    except ClaimLostError:
        logger.warning("job lost to another attempt")
    except SQLAlchemyError:
        logger.exception("the job's end could not be written; its lease will run out")


def _error_of(error: BaseException) -> dict[str, Any]:
    """What the owner is told: a problem's own words, never a stack trace."""
    if isinstance(error, Problem):
        return {
            "type": f"urn:astrolabe:problem:{error.slug}",
            "title": error.title,
            "detail": error.detail,
            "errors": [item.model_dump(mode="json") for item in error.errors],
        }
    if isinstance(error, TransientError):
        return {"type": "urn:astrolabe:problem:part-away", "title": "A needed part was away", "detail": str(error)}
    detail = "The job failed through a fault of the service; it was logged under the job's id."
    return {"type": "urn:astrolabe:problem:internal", "title": "Internal error", "detail": detail}

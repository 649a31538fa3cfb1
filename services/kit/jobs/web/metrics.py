"""What /metrics says of the job table: read from Postgres at each scrape, so that every API process says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from kit.db import async_transaction
from kit.jobs import queries
from kit.jobs.states import JobStatus
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.metrics_core import Metric
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kit.jobs.queries import Tally

logger = get_logger(__name__)


class _JobTable(Collector):
    def __init__(self, service: str, tallies: Sequence[Tally]) -> None:
        self._service = service
        self._by_status = {tally.status: tally for tally in tallies}

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("astrolabe_jobs", "Jobs by state.", labels=["service", "status"])
        attempts = CounterMetricFamily(
            "astrolabe_job_attempts", "Attempts at jobs that have ended.", labels=["service", "outcome"]
        )
        for status in JobStatus:
            found = self._by_status.get(status)
            jobs.add_metric([self._service, status], found.jobs if found else 0)
            if status.is_terminal:
                attempts.add_metric([self._service, status], found.attempts if found else 0)
        yield jobs
        yield attempts
        expiries = CounterMetricFamily("astrolabe_lease_expiries", "Jobs taken from lost workers.", labels=["service"])
        expiries.add_metric([self._service], sum(tally.lease_expiries for tally in self._by_status.values()))
        yield expiries
        oldest = GaugeMetricFamily(
            "astrolabe_oldest_queued_job_seconds", "How long the oldest queued job has waited.", labels=["service"]
        )
        queued = self._by_status.get(JobStatus.QUEUED)
        oldest.add_metric([self._service], queued.oldest_seconds if queued else 0.0)
        yield oldest


async def job_metrics(engine: AsyncEngine, service: str) -> bytes:
    """The job table's metrics as text; nothing while the database is away, which other metrics tell."""
    try:
        async with async_transaction(engine) as session:
            tallies = await session.run_sync(queries.tally, service)
    except (SQLAlchemyError, OSError) as error:
        logger.warning("the job table was not read for the metrics", error=type(error).__name__)
        return b""
    registry = CollectorRegistry()
    registry.register(_JobTable(service, tallies))
    return generate_latest(registry)

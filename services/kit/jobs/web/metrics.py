"""What /metrics says of the job table: read from Postgres at each scrape, so that every API process says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from kit.db import async_transaction
from kit.jobs.states import JobStatus
from kit.jobs.tallies import RUN_SECONDS_LABELS, job_counts
from kit.log import get_logger
from kit.webhooks.models import ENDED_DELIVERIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric
    from sqlalchemy.ext.asyncio import AsyncEngine

    from kit.jobs.tallies import JobCounts
logger = get_logger(__name__)


class _JobTable(Collector):
    """The counts of one scrape as Prometheus' families."""

    def __init__(self, service: str, counts: JobCounts) -> None:
        self._service = service
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        counts, gauge, counter = self._counts, GaugeMetricFamily, CounterMetricFamily
        by_state, by_outcome, plain = ["service", "status"], ["service", "outcome"], ["service"]
        jobs = gauge("astrolabe_jobs", "Jobs that have not ended, by state.", labels=by_state)
        yield self._filled(jobs, counts.active)
        oldest = gauge("astrolabe_oldest_queued_job_seconds", "How long the oldest queued job waits.", labels=plain)
        yield self._filled(oldest, {"": counts.oldest_queued_seconds})
        ended = counter("astrolabe_jobs_ended", "Jobs that have ended.", labels=by_outcome)
        yield self._filled(ended, self._by_outcome("ended"))
        attempts = counter("astrolabe_job_attempts", "Attempts at jobs that have ended.", labels=by_outcome)
        yield self._filled(attempts, self._by_outcome("attempts"))
        expiries = counter("astrolabe_lease_expiries", "Jobs taken from lost workers.", labels=plain)
        yield self._filled(expiries, {"": counts.counted.get(("lease_expiries", ""), 0)})
        yield self._run_seconds()
        pending = gauge("astrolabe_webhook_deliveries_pending", "Webhook deliveries still to be made.", labels=plain)
        yield self._filled(pending, {"": counts.pending_deliveries})
        told = counter("astrolabe_webhook_deliveries", "Webhook deliveries that are over.", labels=by_outcome)
        yield self._filled(told, {state: counts.counted.get(("deliveries", state), 0) for state in ENDED_DELIVERIES})
        late = gauge("astrolabe_webhook_overdue_seconds", "How long the webhook due longest waits.", labels=plain)
        yield self._filled(late, {"": counts.latest_delivery_seconds})

    def _by_outcome(self, name: str) -> dict[str, float]:
        return {status: self._counts.counted.get((name, status), 0) for status in JobStatus if status.is_terminal}

    def _filled(self, metric: GaugeMetricFamily | CounterMetricFamily, values: Mapping[Any, float]) -> Metric:
        for label, value in values.items():
            metric.add_metric([self._service, str(label)] if label else [self._service], value)
        return metric

    def _run_seconds(self) -> HistogramMetricFamily:
        help_text = "Seconds from the first attempt to the success of jobs that were not at hand."
        metric = HistogramMetricFamily("astrolabe_job_run_seconds", help_text, labels=["service"])
        counted = self._counts.counted
        buckets = [(label, counted.get(("run_seconds", label), 0)) for label in RUN_SECONDS_LABELS]
        metric.add_metric([self._service], buckets, counted.get(("run_seconds", "sum"), 0.0))
        return metric


async def job_metrics(engine: AsyncEngine, service: str) -> bytes:
    """The job table's metrics as text; nothing while the database is away, which other metrics tell."""
    try:
        async with async_transaction(engine) as session:
            counts = await session.run_sync(job_counts, service)
    except (SQLAlchemyError, OSError) as error:
        logger.warning("the job table was not read for the metrics", error=type(error).__name__)
        return b""
    registry = CollectorRegistry()
    registry.register(_JobTable(service, counts))
    return generate_latest(registry)

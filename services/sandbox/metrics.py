"""What /metrics says of the sandbox: how programs end and how long they take, and how much it has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric

    from sandbox.runner import Outcome
    from sandbox.service import Service

_EXECUTIONS = Counter("astrolabe_sandbox_executions", "Executed programs by how they ended.", ["status"])
_SECONDS = Histogram(
    "astrolabe_sandbox_execution_seconds",
    "Seconds from a program's start to its end.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)


def count(outcome: Outcome) -> None:
    """Count one execution."""
    _EXECUTIONS.labels(outcome.verdict.status).inc()
    _SECONDS.observe(outcome.wall_ms / 1000)


def load_metrics(service: Service) -> bytes:
    """What the service is at now, as text."""
    registry = CollectorRegistry()
    registry.register(_Load(service))
    return generate_latest(registry)


class _Load(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        gate, sessions, pool = self._service.gate, self._service.sessions, self._service.confinement.current
        runs = GaugeMetricFamily("astrolabe_sandbox_runs", "Executions going on, or waiting.", labels=["state"])
        runs.add_metric(["running"], gate.running)
        runs.add_metric(["waiting"], gate.waiting)
        yield runs
        yield GaugeMetricFamily("astrolabe_sandbox_sessions", "Open sessions.", value=len(sessions))
        ready = pool.waiting() if pool else 0
        yield GaugeMetricFamily("astrolabe_sandbox_jails_ready", "Jails that wait for a run.", value=ready)
        taken = CounterMetricFamily(
            "astrolabe_sandbox_jails", "Jails given to runs: at hand or not.", labels=["source"]
        )
        taken.add_metric(["pool"], pool.hits if pool else 0)
        taken.add_metric(["started"], pool.misses if pool else 0)
        yield taken

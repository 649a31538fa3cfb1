"""/metrics says how programs ended and what the service is at, as deploy/prometheus/metrics.yml declares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml
from tests.support.launcher import CHECKOUT
from tests.support.sandbox_service import running_sandbox

if TYPE_CHECKING:
    from tests.support.sandbox_service import Service


def exposed(service: Service) -> tuple[dict[str, str], dict[str, float]]:
    """Types by metric, values by series."""
    text = service.client.get("/metrics").text
    values = re.findall(r"^(astrolabe_sandbox_[^ ]+) (\S+)$", text, re.MULTILINE)
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)), {name: float(value) for name, value in values}


def test_metrics_are_declared_as_they_are_exposed_and_count() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_POOL_SIZE="1") as service:
        session = service.client.post("/sessions", json={}).json()["id"]
        service.run("1/0")
        service.run("pass", session=session)
        service.client.post("/run_code", json={"code": "pass"})
        types, values = exposed(service)
        declared = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "metrics.yml").read_text())["sandbox"]
        assert {name: types.get(name) for name in declared} == {name: one["type"] for name, one in declared.items()}
        assert values['astrolabe_sandbox_executions_total{status="ok"}'] == 2
        assert values['astrolabe_sandbox_executions_total{status="error"}'] == 1
        assert values["astrolabe_sandbox_execution_seconds_count"] == 3
        assert values["astrolabe_sandbox_sessions"] == 1
        assert values['astrolabe_sandbox_runs{state="running"}'] == 0
        taken = [values[f'astrolabe_sandbox_jails_total{{source="{source}"}}'] for source in ("pool", "started")]
        assert sum(taken) >= 3  # and the probe's

"""Alerts and the dashboard ask only for metrics that are declared; HTTP metrics are declared as services expose them."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kit.settings import Settings
from kit.web import create_app

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
SERVICES = ("planner", "codetree", "sandbox")
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
ADDED_BY_PROMETHEUS = {"job", "instance", "le", "__name__"}
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def declared() -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    series = {}
    for metrics in load(PROMETHEUS / "metrics.yml").values():
        for pattern, metric in metrics.items():
            names = {pattern.replace("SERVICE", service) for service in SERVICES}
            for name in names:
                for suffix in SUFFIXES.get(metric["type"], ("",)):
                    series[name + suffix] = set(metric["labels"])
    return series


DECLARED = declared()
RULES = [rule for group in load(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((GRAFANA / "dashboards" / "astrolabe.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [rule["expr"] for rule in RULES] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def series_of(query: str) -> dict[str, set[str]]:
    """What a query asks for: by each series, the labels it is selected by."""
    selectors = re.findall(r"([a-z_]*)\{([^}]*)\}", query)
    asked: dict[str, set[str]] = {}
    for name, matchers in selectors:
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", QUOTED.sub('""', matchers)))
        pattern = re.search(r'__name__=~"([^"]+)"', matchers)
        names = [known for known in DECLARED if re.fullmatch(pattern[1], known)] if pattern else [name]
        assert names, f"{matchers} selects nothing that is declared"
        asked |= dict.fromkeys(names, labels)
    bare = re.sub(r"\{[^}]*\}", "", QUOTED.sub('""', query))
    for name in re.findall(r"\b(?:astrolabe_\w+|process_\w+|up)\b", bare):
        asked.setdefault(name, set())
    return asked


@pytest.mark.parametrize("query", QUERIES)
def test_queries_name_only_what_is_declared(query: str) -> None:
    asked = series_of(query)
    assert asked
    assert asked.keys() <= DECLARED.keys()
    for name, labels in asked.items():
        assert labels <= DECLARED[name] | ADDED_BY_PROMETHEUS, name
    grouped = re.findall(r"\b(?:by|ignoring|on)\s*\(([^)]*)\)", query)
    known = set().union(*(DECLARED[name] for name in asked)) | ADDED_BY_PROMETHEUS
    assert {label.strip() for labels in grouped for label in labels.split(",")} <= known
    assert query.count("(") == query.count(")")


def test_a_metric_that_is_not_declared_would_be_noticed() -> None:
    assert series_of('rate(astrolabe_jobz{status="x"}[1m])') == {"astrolabe_jobz": {"status"}}
    assert series_of("max by (service) (astrolabe_jobs)") == {"astrolabe_jobs": set()}
    assert "astrolabe_jobz" not in DECLARED


def test_counters_are_read_as_rates() -> None:
    counters = {name for name in DECLARED if name.endswith(("_total", "_bucket", "_count", "_sum"))}
    for query in QUERIES:
        for name in series_of(query).keys() & counters:
            assert re.search(r"\b(rate|increase)\(", query), name


@pytest.mark.parametrize("query", QUERIES)
def test_what_every_process_says_alike_is_not_added_up(query: str) -> None:
    innermost = r"\b(\w+) by \([^)]*\) \((?:rate\(|increase\()?\s*%s\b"
    for name in series_of(query).keys() & load(PROMETHEUS / "metrics.yml")["jobs"].keys():
        aggregations = re.findall(innermost % name, query)
        assert "absent(" in query or aggregations
        assert set(aggregations) <= {"max"}


@pytest.mark.parametrize("service", SERVICES)
async def test_http_metrics_are_declared_as_they_are_exposed(service: str) -> None:
    app = create_app(service=service, title=service, settings=Settings(), routers=[], readiness={})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        await client.get("/openapi.json")
        text = (await client.get("/metrics")).text
    exposed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for section in ("http", "everywhere"):
        for pattern, metric in load(PROMETHEUS / "metrics.yml")[section].items():
            if pattern != "up":
                assert exposed[pattern.replace("SERVICE", service)] == metric["type"]
    labels = re.search(rf"^astrolabe_{service}_http_requests_total\{{(.*)\}}", text, re.MULTILINE)
    assert labels
    assert set(re.findall(r'(\w+)="', labels[1])) == DECLARED[f"astrolabe_{service}_http_requests_total"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_grave_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "action"}
    assert re.fullmatch(r"Astrolabe[A-Z]\w+", rule["alert"])


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_prometheus_scrapes_each_api_of_the_stack_and_loads_the_rules() -> None:
    config = load(PROMETHEUS / "prometheus.yml")
    assert all((PROMETHEUS / name).is_file() for name in config["rule_files"])
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert targets == {
        "planner": ["planner:8001"],
        "codetree": ["codetree:8002"],
        "codetree-worker": ["codetree-worker:8004"],
        "sandbox": ["sandbox:8003"],
    }
    overlay = load(ROOT / "deploy" / "monitoring.compose.yml")["services"]
    stack = load(ROOT / "docker-compose.yml")["services"]
    for service in targets:
        assert set(stack[service]["networks"]) & set(overlay["prometheus"]["networks"])


def test_what_the_monitoring_mounts_is_there_and_only_loopback_is_published() -> None:
    overlay = load(ROOT / "deploy" / "monitoring.compose.yml")["services"]
    mounts = [volume for service in overlay.values() for volume in service["volumes"] if volume.startswith("./")]
    assert len(mounts) == 3
    for mount in mounts:
        source, _, mode = mount.split(":")
        assert (ROOT / source).is_dir()
        assert mode == "ro"
    assert all(port.startswith("127.0.0.1:") for service in overlay.values() for port in service["ports"])


def test_the_dashboard_asks_the_data_source_that_is_provisioned() -> None:
    [source] = load(GRAFANA / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used == {source["uid"]}
    [provider] = load(GRAFANA / "provisioning" / "dashboards" / "astrolabe.yml")["providers"]
    grafana = load(ROOT / "deploy" / "monitoring.compose.yml")["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS)
    places = sorted((p["gridPos"]["y"], p["gridPos"]["x"], p["gridPos"]["w"]) for p in DASHBOARD["panels"])
    for (y, x, width), (next_y, next_x, _) in pairwise(places):
        assert y != next_y or x + width <= next_x
        assert x + width <= 24


def test_every_declared_metric_of_jobs_and_models_is_shown() -> None:
    shown = set().union(*(series_of(query) for query in QUERIES))
    for section in ("jobs", "gate", "planner", "sandbox"):
        for name in load(PROMETHEUS / "metrics.yml")[section]:
            assert any(series.startswith(name) for series in shown), name

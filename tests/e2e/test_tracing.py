"""One POST /solve is one trace, from the API through the worker to the model and the sandbox."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.otlp_collector import Collector, Recorded
from tests.support.scripted_http import ScriptedServer
from tests.support.stack import Stack, running_stack

ARRIVAL_SECONDS = 30
PARTS = ("sandbox", "codetree", "codetree-worker", "relay")
SERVICES = {"astrolabe-codetree", "astrolabe-codetree-worker", "astrolabe-sandbox"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def traced(database_url: str, redis_url: str, model: ScriptedServer, collector: Collector) -> Iterator[Stack]:
    settings = {
        "ASTROLABE_LLM_BASE_URL": f"{model.url}/v1",
        "ASTROLABE_LLM_MODEL": "scripted",
        "ASTROLABE_OTLP_ENDPOINT": collector.url,
        "ASTROLABE_LOG_FORMAT": "json",
    }
    with running_stack(database_url, redis_url, PARTS, **settings) as stack:
        yield stack


def spans_of(collector: Collector, trace_id: str) -> list[Recorded]:
    """The trace's spans, once all services have sent theirs and each span's parent is there."""

    def complete() -> bool:
        found = [span for span in collector.spans if span.trace_id == trace_id]
        known = {span.span_id for span in found} | {"b7ad6b7169203331"}
        return {span.service for span in found} == SERVICES and all(span.parent_id in known for span in found)

    with collector.arrived:
        assert collector.arrived.wait_for(complete, ARRIVAL_SECONDS), collector.spans
        return [span for span in collector.spans if span.trace_id == trace_id]


def lines_of(stack: Stack, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.log(name).splitlines() if line.startswith("{")]


def test_one_request_is_one_trace_and_one_request_id(
    traced: Stack, model: ScriptedServer, collector: Collector
) -> None:
    trace_id, request_id = secrets.token_hex(16), f"request-{secrets.token_hex(4)}"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "X-Request-ID": request_id}
    body = {"task": "how many?", "policy": {"kind": "program"}}
    with traced.client("codetree") as codetree:
        path = codetree.post("/solve", json=body, headers=headers).headers["location"]
        assert codetree.get(path, params={"wait": 60}).json()["status"] == "succeeded"
    spans = spans_of(collector, trace_id)
    by_name = {(span.service, span.name): span for span in spans}
    request = by_name["astrolabe-codetree", "POST /solve"]
    job = by_name["astrolabe-codetree-worker", "codetree job"]
    calls = {
        span.attributes.get("http.url", span.attributes.get("url.full", "")): span
        for span in spans
        if span.parent_id == job.span_id
    }
    assert request.parent_id == "b7ad6b7169203331"
    assert job.parent_id == request.span_id
    assert job.attributes["astrolabe.job.id"] == path.rpartition("/")[2]
    assert f"{model.url}/v1/chat/completions" in calls
    run = by_name["astrolabe-sandbox", "POST /executions"]
    assert run.parent_id == calls[f"{traced.url('sandbox')}/executions"].span_id
    assert model.asked[-1].headers["traceparent"].startswith(f"00-{trace_id}-")
    for name in ("codetree", "sandbox"):
        lines = [line for line in lines_of(traced, name) if line.get("request_id") == request_id]
        assert lines
        assert all(line["trace_id"] == trace_id for line in lines)

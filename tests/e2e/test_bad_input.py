"""Bad input on every endpoint that takes any: a problem that names the field and the remedy, never a 5xx."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.e2e.test_plans import QUESTION, question
from tests.support.stack import Stack

STRATEGY = {"tensor_parallel": 1}


def wrong(service: str, path: str, body: Any, field: str) -> Any:
    return pytest.param(service, path, body, field, id=f"{service}{path}-{field}")


def estimate(**strategy: Any) -> dict[str, Any]:
    return QUESTION | {"strategy": strategy}


WORKLOAD = QUESTION["workload"]
CASES = [
    wrong("planner", "/plans", question(gpu="h1000"), "cluster.gpu"),
    wrong("planner", "/plans", question(count=7), "cluster.count"),
    wrong("planner", "/plans", question(count=-8), "cluster.count"),
    wrong("planner", "/plans", question(count="eight"), "cluster.count"),
    wrong("planner", "/plans", question(colour="red"), "cluster.colour"),
    wrong(
        "planner", "/plans", QUESTION | {"workload": WORKLOAD | {"global_batch_size": -1}}, "workload.global_batch_size"
    ),
    wrong("planner", "/plans", QUESTION | {"model": {"preset": "llama-9"}}, "model.preset"),
    wrong("planner", "/plans", QUESTION | {"model": {"preset": "llama\0"}}, "model.preset"),
    wrong("planner", "/plans", QUESTION | {"labels": {"a": "\0"}}, "labels.a"),
    wrong("planner", "/plans", QUESTION | {"search": {"top_k": 0}}, "search.top_k"),
    wrong("planner", "/plans", QUESTION | {"webhook": "http://127.0.0.1:9000/hook"}, "webhook"),
    wrong("planner", "/plans", {"model": QUESTION["model"]}, "workload"),
    wrong("planner", "/plans", [], "body"),
    wrong("planner", "/estimates", estimate(tensor_parallel=0), "strategy.tensor_parallel"),
    wrong("planner", "/estimates", estimate(tensor_parallel=3), "strategy"),
    wrong("planner", "/estimates", QUESTION, "body"),
    wrong("planner", "/estimates", question(gpu="h1000") | {"strategy": STRATEGY}, "cluster.gpu"),
    wrong("codetree", "/solve", {"task": ""}, "task"),
    wrong("codetree", "/solve", {"task": "x\0y"}, "task"),
    wrong("codetree", "/solve", {"task": 7}, "task"),
    wrong("codetree", "/solve", {"task": "x", "policy": {"kind": "tree", "root_width": -1}}, "policy.root_width"),
    wrong("codetree", "/solve", {"task": "x", "limits": {"programs": -1}}, "limits.programs"),
    wrong("codetree", "/solve", {"task": "x", "webhook": "https://me:secret@hooks.example/"}, "webhook"),
    wrong("codetree", "/solve", {"task": "x", "models": ["offline:nothing"]}, "models"),
    wrong("codetree", "/solve", {"task": "x", "modles": []}, "modles"),
    wrong("sandbox", "/executions", {"code": 1}, "code"),
    wrong("sandbox", "/executions", {"code": "x\0"}, "code"),
    wrong("sandbox", "/executions", {"code": "x", "limits": {"wall_seconds": -1}}, "limits.wall_seconds"),
    wrong("sandbox", "/executions", {"code": "x", "limits": {"wall_seconds": 1e9}}, "limits.wall_seconds"),
    wrong("sandbox", "/executions", {"code": "x", "sesion": "a"}, "sesion"),
]


@pytest.mark.parametrize(("service", "path", "body", "field"), CASES)
def test_the_field_is_named(stack: Stack, service: str, path: str, body: Any, field: str) -> None:
    with stack.client(service) as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    errors = answer.json()["errors"]
    named = [error for error in errors if error["field"] == field or error["field"].startswith(f"{field}.")]
    assert named, errors
    assert named[0]["message"]


@pytest.mark.parametrize("field", ["cluster.gpu", "cluster.count", "model.preset", "search.top_k"])
def test_the_remedy_is_named(planner: httpx.Client, field: str) -> None:
    bodies = {
        "cluster.gpu": question(gpu="h1000"),
        "cluster.count": question(count=7),
        "model.preset": QUESTION | {"model": {"preset": "llama-9"}},
        "search.top_k": QUESTION | {"search": {"top_k": 1000}},
    }
    error = planner.post("/plans", json=bodies[field]).json()["errors"][0]
    assert error["field"] == field
    assert error["remedy"] or "less than or equal to 100" in error["message"]


@pytest.mark.parametrize(
    ("service", "path"),
    [("planner", "/plans"), ("planner", "/estimates"), ("codetree", "/solve"), ("sandbox", "/executions")],
)
class TestEveryEndpointThatTakesABody:
    def test_fifty_megabytes(self, stack: Stack, service: str, path: str) -> None:
        with stack.client(service) as client:
            answer = client.post(path, content=b" " * 50_000_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["errors"][0]["remedy"]

    def test_not_json(self, stack: Stack, service: str, path: str) -> None:
        with stack.client(service) as client:
            answer = client.post(path, content=b"{", headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"

    def test_nothing(self, stack: Stack, service: str, path: str) -> None:
        with stack.client(service) as client:
            answer = client.post(path)
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"status": "sleeping"}, "status.0"),
        ({"cursor": "%%%"}, "cursor"),
        ({"label": "no-equals"}, "label"),
        ({"sort": "size"}, "sort"),
    ],
)
def test_bad_queries(planner: httpx.Client, query: dict[str, Any], field: str) -> None:
    answer = planner.get("/plans", params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize("wait", ["-1", "1e9", "soon", "nan"])
def test_a_bad_wait(planner: httpx.Client, wait: str) -> None:
    path = planner.post("/plans", json=question(count=8)).headers["location"]
    answer = planner.get(path, params={"wait": wait})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "wait"


def test_a_bad_id(planner: httpx.Client) -> None:
    answer = planner.get("/plans/not-an-id")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "job_id"


@pytest.mark.parametrize(
    ("service", "path", "method", "allowed"),
    [
        ("planner", "/plans", "HEAD", "GET, POST"),
        ("planner", "/calibrations/0193c5a0-7a4e-7c31-8a33-5c1f0d0b7c11", "PUT", "DELETE, GET"),
        ("codetree", "/solve", "DELETE", "GET, POST"),
        ("sandbox", "/executions", "GET", "POST"),
        ("planner", "/openapi.json", "POST", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_lacks_is_told_all_that_it_takes(
    stack: Stack, service: str, path: str, method: str, allowed: str
) -> None:
    with stack.client(service) as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)

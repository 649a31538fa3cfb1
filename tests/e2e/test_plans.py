"""The planner as its users see it, over HTTP, with the real worker behind it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.support.stack import Stack, events_of

QUESTION: dict[str, Any] = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 512, "sequence_length": 4096},
    "cluster": {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 64},
}


def question(**cluster: Any) -> dict[str, Any]:
    return {**QUESTION, "cluster": {**QUESTION["cluster"], **cluster}}


def planned(planner: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    accepted = planner.post("/plans", json=body)
    assert accepted.status_code == 202, accepted.text
    answer = planner.get(accepted.headers["location"], params={"wait": 60})
    assert answer.status_code == 200
    job: dict[str, Any] = answer.json()
    return job


def test_a_plan_from_request_to_answer(planner: httpx.Client) -> None:
    job = planned(planner, question(count=32))
    assert job["status"] == "succeeded"
    assert len(job["candidates"]) == 5
    assert job["best"] == job["candidates"][0]
    times = [candidate["estimate"]["iteration_seconds"] for candidate in job["candidates"]]
    assert times == sorted(times)
    assert job["search"]["enumerated"] == job["search"]["after_rules"] + sum(job["search"]["dropped"].values())
    memory = job["best"]["estimate"]["memory"]
    assert memory["peak"] <= memory["capacity"]
    listed = planner.get("/plans").json()["items"]
    assert job["id"] in {item["id"] for item in listed}


def test_the_answer_equals_the_estimate_of_its_strategy(planner: httpx.Client) -> None:
    job = planned(planner, question(count=16))
    body = question(count=16) | {"strategy": job["best"]["strategy"]}
    estimate = planner.post("/estimates", json=body)
    assert estimate.status_code == 200, estimate.text
    assert estimate.json() == job["best"]["estimate"]


def test_the_same_question_again_is_answered_with_the_202_itself(planner: httpx.Client) -> None:
    first = planned(planner, question(count=24))
    again = planner.post("/plans", json=question(count=24, gpu="A100-80GB")).json()
    assert again["status"] == "succeeded"
    assert again["id"] != first["id"]
    assert again["candidates"] == first["candidates"]
    assert again["search"] == first["search"], "it was searched again"


async def test_fifty_identical_questions_at_once_are_one_search(stack: Stack) -> None:
    body = question(count=48)
    async with httpx.AsyncClient(base_url=stack.url("planner"), timeout=70, trust_env=False) as planner:
        answers = await asyncio.gather(*(planner.post("/plans", json=body) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {202}
        ids = [answer.json()["id"] for answer in answers]
        assert len(set(ids)) == 50
        jobs = await asyncio.gather(*(planner.get(f"/plans/{job_id}", params={"wait": 60}) for job_id in ids))
    searches = {(job.json()["status"], job.json()["search"]["seconds"]) for job in jobs}
    assert len(searches) == 1, "each search takes its own time, so one time means one search"
    assert next(iter(searches))[0] == "succeeded"


def test_events_tell_the_story_and_resume(planner: httpx.Client) -> None:
    accepted = planner.post("/plans", json=question(count=128))
    path = accepted.headers["location"]
    story = events_of(planner, path)
    assert [number for number, _, _ in story] == list(range(1, len(story) + 1))
    kinds = [kind for _, kind, _ in story]
    assert kinds[:2] == ["job.created", "job.started"]
    assert kinds[-1] == "job.succeeded"
    assert set(kinds[2:-1]) <= {"job.progress"}, "a search that is over at once tells none"
    assert events_of(planner, path, after=2) == story[2:]


def test_polling_with_an_etag_costs_nothing_while_nothing_changes(planner: httpx.Client) -> None:
    job = planned(planner, question(count=8))
    path = f"/plans/{job['id']}"
    etag = planner.get(path).headers["etag"]
    assert planner.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert planner.get(path, headers={"If-None-Match": '"0"'}).status_code == 200
    for tags in (f"W/{etag}", f'"0", {etag}', "*"):
        assert planner.get(path, headers={"If-None-Match": tags}).status_code == 304


def test_an_idempotency_key_makes_a_repeat_safe(planner: httpx.Client) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = planner.post("/plans", json=question(count=8), headers=key)
    again = planner.post("/plans", json=question(count=8), headers=key)
    assert again.json()["id"] == first.json()["id"]
    other = planner.post("/plans", json=question(count=16), headers=key)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


def test_an_external_id_names_one_job(planner: httpx.Client) -> None:
    name = f"sweep-{uuid4()}"
    first = planner.post("/plans", json=question(count=8) | {"external_id": name})
    again = planner.post("/plans", json=question(count=8) | {"external_id": name})
    assert again.json()["id"] == first.json()["id"]
    assert planner.post("/plans", json=question(count=16) | {"external_id": name}).status_code == 409


def test_lists_filter_by_label_and_page(planner: httpx.Client) -> None:
    team = str(uuid4())
    made = [planner.post("/plans", json=question(count=8) | {"labels": {"team": team}}).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query: dict[str, str | int] = {"label": f"team={team}", "limit": 2, "sort": "created_at"}
        if cursor:
            query["cursor"] = cursor
        page = planner.get("/plans", params=query).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made
    assert cursor is None


def test_a_job_is_found_by_its_external_id_and_a_misspelt_filter_lists_nothing(planner: httpx.Client) -> None:
    name = str(uuid4())
    job = planner.post("/plans", json=QUESTION | {"external_id": name}).json()
    found = planner.get("/plans", params={"external_id": name}).json()
    assert ([one["id"] for one in found["items"]], found["next_cursor"]) == ([job["id"]], None)
    assert planner.get("/plans", params={"external_id": str(uuid4())}).json()["items"] == []
    refused = planner.get("/plans", params={"externalid": name})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "externalid")


def test_nothing_fits_is_an_answer_with_reasons(planner: httpx.Client) -> None:
    job = planned(planner, question(count=1, gpu="a10-24gb") | {"model": {"preset": "gpt-3-175b"}})
    assert (job["status"], job["best"], job["candidates"]) == ("succeeded", None, [])
    assert job["reasons"]


@pytest.mark.parametrize("path", ["", "/events", "/tree"])
def test_an_unknown_job_is_not_found(planner: httpx.Client, codetree: httpx.Client, path: str) -> None:
    service, prefix = (codetree, "/solve") if path == "/tree" else (planner, "/plans")
    answer = service.get(f"{prefix}/{uuid4()}{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_gpu_and_model_of_the_catalogue_can_be_asked_for(planner: httpx.Client) -> None:
    gpus = planner.get("/catalog/gpus").json()
    models = planner.get("/catalog/models").json()
    assert {price["gpu"] for price in planner.get("/catalog/prices").json()} <= {gpu["name"] for gpu in gpus}
    strategy = {"strategy": {"tensor_parallel": 1}}
    for gpu in gpus:
        precision = "bf16" if "bf16" in gpu["tflops"] else "fp16"
        workload = QUESTION["workload"] | {"precision": precision}
        body = question(gpu=gpu["name"], count=1) | {"workload": workload} | strategy
        answer = planner.post("/estimates", json=body)
        assert answer.status_code == 200, (gpu["name"], answer.text)
    for model in models:
        body = question(count=64) | {"model": {"preset": model["name"]}} | strategy
        answer = planner.post("/estimates", json=body)
        assert answer.status_code == 200, (model["name"], answer.text)
        assert answer.json()["memory"]["peak"] > 0


def test_metrics_tell_of_the_queue_and_the_cache(planner: httpx.Client) -> None:
    planned(planner, question(count=8))
    planner.post("/plans", json=question(count=8))
    metrics = planner.get("/metrics").text
    assert 'astrolabe_jobs{service="planner",status="running"} 0.0' in metrics
    assert 'astrolabe_oldest_queued_job_seconds{service="planner"} 0.0' in metrics
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values['astrolabe_jobs_ended_total{outcome="succeeded",service="planner"}']) >= 2
    assert float(values['astrolabe_job_attempts_total{outcome="succeeded",service="planner"}']) >= 1
    assert float(values['astrolabe_plan_cache_total{outcome="hit"}']) >= 1
    assert float(values['astrolabe_lease_expiries_total{service="planner"}']) >= 0


@pytest.mark.parametrize("export_format", ["megatron", "nemo", "torchtitan", "deepspeed", "trace"])
def test_a_plan_is_exported_or_the_dimension_that_does_not_fit_is_named(
    planner: httpx.Client, export_format: str
) -> None:
    space = {"sharding": ["zero1"], "recompute": ["none"], "context_parallel": [1], "tensor_parallel": [1, 2]}
    job = planned(planner, question(count=32) | {"search": {"space": space}})
    assert job["best"], job["reasons"]
    answer = planner.get(f"/plans/{job['id']}/exports/{export_format}")
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["field"]
        return
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.text
    beyond = planner.get(f"/plans/{job['id']}/exports/{export_format}", params={"rank": 100})
    assert beyond.status_code == 409

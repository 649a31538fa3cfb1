"""Calibrations as their users see them: runs in, factors out, and plans that name them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from tests.unit.planner.validation_rows import row, write_table

from astrolabe import Client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

MODEL = {"preset": "llama-2-7b"}
WORKLOAD = {"global_batch_size": 128, "sequence_length": 4096}
CLUSTER = {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 16}
STRATEGIES: list[dict[str, Any]] = [
    {"tensor_parallel": 2, "micro_batch_size": 1},
    {"tensor_parallel": 4, "micro_batch_size": 2, "sequence_parallel": True},
    {"tensor_parallel": 2, "pipeline_parallel": 2},
    {"tensor_parallel": 8, "micro_batch_size": 4},
]


def estimated(planner: httpx.Client, strategy: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"model": MODEL, "workload": WORKLOAD, "cluster": CLUSTER, "strategy": strategy, **more}
    return planner.post("/estimates", json=body)


def measured(planner: httpx.Client, slower: float) -> dict[str, Any]:
    runs = []
    for strategy in STRATEGIES:
        seconds = estimated(planner, strategy).json()["iteration_seconds"] * slower
        runs.append(
            {
                "model": MODEL,
                "workload": WORKLOAD,
                "cluster": CLUSTER,
                "strategy": strategy,
                "iteration_seconds": seconds,
            }
        )
    return {"name": "ours", "runs": runs}


def test_runs_become_a_calibration_that_estimates_and_plans_name(planner: httpx.Client) -> None:
    answer = planner.post("/calibrations", json=measured(planner, 1.3))
    assert answer.status_code == 201, answer.text
    calibration = answer.json()
    assert calibration["errors"]["after"] < calibration["errors"]["before"]
    assert planner.get(answer.headers["location"]).json() == calibration
    assert calibration["id"] in {one["id"] for one in planner.get("/calibrations").json()["items"]}

    plain = estimated(planner, STRATEGIES[0]).json()["iteration_seconds"]
    named = estimated(planner, STRATEGIES[0], calibration=calibration["id"]).json()["iteration_seconds"]
    assert 1.2 < named / plain < 1.4

    question = {"model": MODEL, "workload": WORKLOAD, "cluster": CLUSTER, "calibration": calibration["id"]}
    accepted = planner.post("/plans", json=question)
    assert accepted.status_code == 202, accepted.text
    plan = planner.get(accepted.headers["location"], params={"wait": 60}).json()
    again = estimated(planner, plan["best"]["strategy"], calibration=calibration["id"]).json()
    assert again["iteration_seconds"] == plan["best"]["estimate"]["iteration_seconds"]


def test_what_cannot_be_calibrated_or_named_says_why(planner: httpx.Client) -> None:
    body = measured(planner, 1.0)
    assert planner.post("/calibrations", json={**body, "runs": body["runs"][:2]}).status_code == 422
    body["runs"][1]["strategy"] = {"tensor_parallel": 3}
    refused = planner.post("/calibrations", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"].startswith("runs.1.strategy")

    unknown = str(uuid4())
    assert planner.get(f"/calibrations/{unknown}").status_code == 404
    refused = estimated(planner, STRATEGIES[0], calibration=unknown)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "calibration"


def test_a_calibration_is_sent_again_listed_and_forgotten(planner: httpx.Client) -> None:
    body, key = measured(planner, 1.2), {"Idempotency-Key": str(uuid4())}
    first = planner.post("/calibrations", json=body, headers=key)
    again = planner.post("/calibrations", json=body, headers=key)
    assert again.json() == first.json()
    other = planner.post("/calibrations", json=body | {"name": "another"}, headers=key)
    assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "Idempotency-Key")

    planner.post("/calibrations", json=body)
    page = planner.get("/calibrations", params={"limit": 1}).json()
    following = planner.get("/calibrations", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert page["items"][0]["created_at"] > following["items"][0]["created_at"]

    path = first.headers["location"]
    assert planner.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    named = {"model": MODEL, "workload": WORKLOAD, "cluster": CLUSTER, "calibration": first.json()["id"]}
    job = planner.post("/plans", json=named).headers["location"]
    assert planner.delete(path).status_code == 204
    assert planner.delete(path).status_code == planner.get(path).status_code == 404
    assert planner.get(job, params={"wait": 60}).json()["status"] == "succeeded"
    assert planner.post("/plans", json=named).status_code == 422


def test_a_table_of_runs_becomes_a_calibration_and_its_plan_a_file(stack: Stack, tmp_path: Path) -> None:
    runs = [("2", "2", "10.0"), ("4", "1", "11.0"), ("1", "4", "12.0")]
    rows = [row(id=f"run {tp}", tp=tp, pp=pp, iter_time_s_best=seconds) for tp, pp, seconds in runs]
    table = write_table(tmp_path / "runs.csv", *rows)
    command = [sys.executable, "-m", "planner", "calibration-body", table, "--name", "from a table"]
    body = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    with Client(planner_url=stack.url("planner"), codetree_url=stack.url("codetree")) as client:
        calibration = client.calibrate(json.loads(body))
        assert calibration.name == "from a table"
        assert calibration.errors.after < calibration.errors.before
        assert calibration in list(client.calibrations())
        question = {"model": MODEL, "workload": WORKLOAD, "cluster": CLUSTER, "calibration": calibration.id}
        plan = client.plan(question).wait(timeout_seconds=60)
        assert "--tensor-model-parallel-size" in client.export(plan.id, "megatron").text
        client.delete_calibration(calibration.id)
        assert calibration not in list(client.calibrations())

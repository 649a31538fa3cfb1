"""The client, the command line and the curl example against the real services."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.e2e.test_plans import question

from astrolabe import GPUS, PLANS, AsyncClient, BatchReceipt, BatchState, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(planner_url=stack.url("planner"), codetree_url=stack.url("codetree")) as client:
        yield client


def sweep(*sizes: int) -> list[dict[str, Any]]:
    name = uuid4()
    return [
        question(count=16)
        | {"external_id": f"{name}-{size}", "workload": {"global_batch_size": 256 * size, "sequence_length": 4096}}
        for size in sizes
    ]


def as_lines(requests: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(request)}\n" for request in requests)


def environment(stack: Stack) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    urls = {"ASTROLABE_PLANNER_URL": stack.url("planner"), "ASTROLABE_CODETREE_URL": stack.url("codetree")}
    return {**os.environ, "PATH": path, **urls}


def test_a_sweep_is_submitted_followed_and_read(client: Client) -> None:
    requests = [*sweep(1, 2, 3), {"external_id": "wrong", "model": {}}]
    told: list[BatchReceipt] = []
    submission = client.submit_many(PLANS, requests, on_receipt=told.append)
    assert (submission.accepted, submission.duplicates, len(told)) == (3, 0, 1)
    assert [(refused.line, refused.external_id) for refused in submission.rejections] == [(4, "wrong")]
    assert submission.rejections[0].problem.errors
    [batch] = submission.batches
    results = list(batch.results())
    assert {result.job.external_id for result in results} == {request["external_id"] for request in requests[:3]}
    assert all(result.job.best for result in results)
    assert [result.cursor for result in batch.results(results[0].cursor)] == [result.cursor for result in results[1:]]
    states: list[BatchState] = []
    assert batch.wait(60, on_change=states.append).counts.succeeded == 3
    assert batch.refresh() == batch.refresh()
    again = client.submit_many(PLANS, requests[:3])
    assert (again.accepted, again.duplicates) == (0, 3)


async def test_validation_and_cancelling_with_await(stack: Stack) -> None:
    requests = sweep(*range(10, 40))
    async with AsyncClient(planner_url=stack.url("planner")) as client:
        checked = await client.submit_many(PLANS, requests, validate_only=True)
        assert (checked.accepted, checked.batches) == (30, ())
        submission = await client.submit_many(PLANS, requests)
        assert submission.accepted == 30
        [batch] = submission.batches
        assert (await batch.cancel()).status in {"cancelling", "finished"}
        state = await batch.wait(60)
        assert state.counts.ended == 30
        assert len([result async for result in batch.results()]) == 30


def test_an_unchanged_job_is_not_sent_again(client: Client) -> None:
    [request] = sweep(41)
    job = client.plan(request)
    assert job.wait(60).best
    known = job.snapshot
    assert job.refresh().best
    assert job.snapshot is known


def test_the_catalogue_names_what_requests_may(client: Client) -> None:
    assert question()["cluster"]["gpu"] in {name for gpu in client.catalog(GPUS) for name in (gpu.name, *gpu.aliases)}


def test_the_command_line_waits_for_a_batch(stack: Stack) -> None:
    command = [sys.executable, "-m", "astrolabe", "batch"]
    lines = as_lines(sweep(50, 51))
    given = subprocess.run(
        [*command, "submit", "-", "--wait", "--json"],
        env=environment(stack),
        input=lines,
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    document = json.loads(given.stdout)
    assert document["batches"][0]["counts"]["succeeded"] == 2
    batch_id = document["receipts"][0]["id"]
    read = [*command, "results", batch_id, "--since", "1"]
    results = subprocess.run(read, env=environment(stack), capture_output=True, text=True, timeout=90, check=True)
    assert [json.loads(line)["cursor"] for line in results.stdout.splitlines()] == ["2"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_alone_is_enough(stack: Stack, tmp_path: Path) -> None:
    requests = tmp_path / "plans.ndjson"
    requests.write_text(as_lines(sweep(60, 61)))
    script = [EXAMPLES / "curl" / "batch.sh", requests]
    given = subprocess.run(script, env=environment(stack), capture_output=True, text=True, timeout=90, check=True)
    assert [json.loads(line)["job"]["status"] for line in given.stdout.splitlines()] == ["succeeded", "succeeded"]

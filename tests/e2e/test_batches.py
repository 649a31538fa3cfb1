"""Batches as orchestrators use them, with the real relay and worker behind."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.e2e.test_plans import question
from tests.support.stack import Stack

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*requests: Any) -> bytes:
    return b"\n".join(json.dumps(request).encode() for request in requests) + b"\n"


def sized(batch_size: int) -> dict[str, Any]:
    return question(count=16) | {"workload": {"global_batch_size": batch_size, "sequence_length": 4096}}


def sweep(sizes: range, prefix: str) -> list[dict[str, Any]]:
    return [sized(512 * size) | {"external_id": f"{prefix}-{size}"} for size in sizes]


def submit(planner: httpx.Client, body: bytes, **query: Any) -> dict[str, Any]:
    answer = planner.post("/batches", content=body, headers=NDJSON, params=query)
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    return report


def results(planner: httpx.Client, batch: str, since: int = 0) -> list[dict[str, Any]]:
    answer = planner.get(f"/batches/{batch}/results", params={"since": since})
    assert answer.headers["content-type"].startswith("application/jsonl")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_sweep_from_submission_to_results(planner: httpx.Client) -> None:
    report = submit(planner, lines(*sweep(range(1, 9), str(uuid4()))))
    assert (report["total"], report["accepted"], report["rejected"]) == (8, 8, 0)
    batch = planner.get(f"/batches/{report['id']}", params={"wait": 60}).json()
    assert (batch["status"], batch["counts"]["succeeded"]) == ("finished", 8)
    ended = results(planner, report["id"])
    assert [line["cursor"] for line in ended] == [str(number) for number in range(1, 9)]
    assert all(line["job"]["best"] for line in ended)
    assert results(planner, report["id"], since=5) == ended[5:]


def test_a_json_array_is_taken_too(planner: httpx.Client) -> None:
    answer = planner.post("/batches", json=sweep(range(1, 3), str(uuid4())))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)


def test_wrong_lines_are_reported_and_hold_up_no_others(planner: httpx.Client) -> None:
    name = str(uuid4())
    good, other = sweep(range(1, 3), name)
    body = lines(
        good,
        question(gpu="h1000") | {"external_id": "bad-gpu"},
        question(count=-1),
        question(count=7),
        {**other, "labels": {"a": "\0"}},
        [],
    )
    report = submit(planner, body + b"{not json\n" + lines(other))
    assert (report["total"], report["accepted"], report["rejected"]) == (8, 2, 6)
    fields = {item["line"]: item["problem"]["errors"][0]["field"] for item in report["rejections"]}
    assert fields == {2: "cluster.gpu", 3: "cluster.count", 4: "cluster.count", 5: "labels.a", 6: "body", 7: "line"}
    assert report["rejections"][0]["external_id"] == "bad-gpu"
    assert planner.get(f"/batches/{report['id']}", params={"wait": 60}).json()["counts"]["succeeded"] == 2


def test_lines_are_numbered_as_an_editor_numbers_them(planner: httpx.Client) -> None:
    body = b"\xef\xbb\xbf" + lines(question()) + b"   \n\r\n{\r\n"
    for validate_only in (True, False):
        report = submit(planner, body, validate_only=validate_only)
        assert (report["total"], [one["line"] for one in report["rejections"]]) == (2, [4])


def test_sent_again_it_makes_no_new_jobs_and_another_question_is_refused(planner: httpx.Client) -> None:
    requests = sweep(range(1, 4), str(uuid4()))
    first = submit(planner, lines(*requests))
    again = submit(planner, lines(*requests))
    assert (first["accepted"], again["accepted"], again["duplicates"]) == (3, 0, 3)
    assert again["status"] == "finished"
    changed = submit(planner, lines({**requests[0], "workload": requests[1]["workload"]}))
    assert changed["rejections"][0]["problem"]["status"] == 409


def test_under_a_key_it_is_the_same_batch(planner: httpx.Client) -> None:
    body = lines(*sweep(range(1, 4), str(uuid4())))
    headers = NDJSON | {"Idempotency-Key": str(uuid4())}
    first = planner.post("/batches", content=body, headers=headers).json()
    again = planner.post("/batches", content=body, headers=headers).json()
    assert (again["id"], again["accepted"]) == (first["id"], 3)
    other = planner.post("/batches", content=lines(sized(512 * 5)), headers=headers)
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


def test_identical_lines_are_one_search_and_many_jobs(planner: httpx.Client) -> None:
    body = lines(*[sized(512 * 37) | {"labels": {"n": str(number)}} for number in range(40)])
    report = submit(planner, body)
    assert report["accepted"] == 40
    assert planner.get(f"/batches/{report['id']}", params={"wait": 60}).json()["counts"]["succeeded"] == 40
    ended = results(planner, report["id"])
    assert len({line["job"]["id"] for line in ended}) == 40
    assert len({line["job"]["search"]["seconds"] for line in ended}) == 1


@pytest.mark.parametrize("service", ["planner", "codetree"])
def test_batches_are_listed_the_newest_first(stack: Stack, service: str) -> None:
    line = {"planner": question(), "codetree": {"task": "What is 6 times 7?", "policy": {"kind": "program"}}}
    with stack.client(service) as client:
        made = [client.post("/batches", json=[line[service]]).json()["id"] for _ in range(2)]
        page = client.get("/batches", params={"limit": 1}).json()
        following = client.get("/batches", params={"limit": 1, "cursor": page["next_cursor"]}).json()
        whole = client.get(f"/batches/{made[1]}", params={"wait": 60}).json()
    assert [one["id"] for one in page["items"] + following["items"]] == made[::-1]
    assert (whole["status"], whole["ended"], whole["counts"]["succeeded"]) == ("finished", 1, 1)


def test_validate_only_accepts_nothing(planner: httpx.Client) -> None:
    requests = sweep(range(1, 4), str(uuid4()))
    report = submit(planner, lines(*requests, {"odd": 1}), validate_only=True)
    assert (report["id"], report["accepted"], report["rejected"]) == (None, 3, 1)
    assert submit(planner, lines(*requests))["accepted"] == 3


def test_validate_only_tells_what_the_submission_then_does(planner: httpx.Client) -> None:
    earlier, first, other, new = sweep(range(1, 5), str(uuid4()))
    submit(planner, lines(earlier))
    taken = {"external_id": first["external_id"]}
    batch = lines(
        earlier, other | {"external_id": earlier["external_id"]}, first, first, other | taken, {"odd": 1}, new
    )
    told, done = (submit(planner, batch, validate_only=only) for only in (True, False))
    for report in (told, done):
        assert {name: report[name] for name in ("total", "accepted", "duplicates", "rejected")} == {
            "total": 7,
            "accepted": 2,
            "duplicates": 2,
            "rejected": 3,
        }
        assert [(one["line"], one["problem"]["status"]) for one in report["rejections"]] == [
            (2, 409),
            (5, 409),
            (6, 422),
        ]
        assert report["rejections"][1]["problem"]["errors"][0]["field"] == "external_id"
    assert "(line 3)" in told["rejections"][1]["problem"]["detail"]


def test_a_batch_is_cancelled_as_one(planner: httpx.Client) -> None:
    slow = [
        question(count=1024, gpu="h100")
        | {
            "model": {"preset": "gpt-3-175b"},
            "workload": {"global_batch_size": 1536 + 512 * number, "sequence_length": 2048},
            "search": {"method": "exhaustive"},
        }
        for number in range(20)
    ]
    report = submit(planner, lines(*slow))
    cancelled = planner.post(f"/batches/{report['id']}/cancel")
    assert cancelled.status_code == 202
    batch = planner.get(f"/batches/{report['id']}", params={"wait": 60}).json()
    assert batch["status"] == "finished"
    assert batch["counts"]["cancelled"] + batch["counts"]["succeeded"] == 20
    assert batch["counts"]["cancelled"] >= 15
    assert planner.post(f"/batches/{report['id']}/cancel").status_code == 202


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"", "application/x-ndjson", 422),
        (b"{}", "application/json", 422),
        (b"{", "application/json", 400),
        (b"a,b", "text/csv", 415),
    ],
)
def test_a_body_that_is_no_batch_is_refused(
    planner: httpx.Client, content: bytes, media_type: str, status: int
) -> None:
    answer = planner.post("/batches", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_batch_is_not_found(planner: httpx.Client) -> None:
    for path in (f"/batches/{uuid4()}", f"/batches/{uuid4()}/results"):
        assert planner.get(path).status_code == 404
    assert planner.post(f"/batches/{uuid4()}/cancel").status_code == 404

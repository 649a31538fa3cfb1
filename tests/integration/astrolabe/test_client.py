from __future__ import annotations

import socket

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.scripted_service import NO_ANSWER, Reply, ScriptedService, answer, problem

from astrolabe import (
    EPISODES,
    PLANS,
    ApiProblem,
    Client,
    JobCancelledError,
    JobFailedError,
    JobQuery,
    JobStatus,
    RetryPolicy,
    ServiceUnreachableError,
    UnexpectedResponseError,
    WaitTimeoutError,
)

REQUEST = {"model": {"preset": "llama-2-7b"}}


def test_a_plan_is_submitted_waited_for_and_read(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")), answer(samples.plan()))

    job = client.plan(REQUEST)
    assert job.status is JobStatus.QUEUED
    plan = job.wait(timeout_seconds=600)

    assert plan.best is not None
    assert plan.best.strategy.tensor_parallel == 4
    assert plan.best.estimate.iteration_seconds == 4.5
    assert job.raw == samples.plan()
    submitted, *polls = service.seen
    assert submitted.body == REQUEST
    assert submitted.headers["authorization"] == "Bearer astro_key"
    assert submitted.headers["user-agent"].startswith("astrolabe-python/")
    assert [dict(poll.params)["wait"] for poll in polls] == ["60.000", "60.000"]


def test_a_lost_answer_is_asked_for_again_under_the_same_key(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/plans", NO_ANSWER, NO_ANSWER, answer(samples.job("queued"), 202))
    assert client.plan(REQUEST).id == samples.JOB
    keys = {seen.headers["idempotency-key"] for seen in service.seen}
    assert len(service.seen) == 3
    assert len(keys) == 1


def test_two_submissions_have_two_keys_and_a_given_key_is_kept(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/solve", answer(samples.job("queued"), 202))
    for key in (None, None, "mine"):
        client.solve({"task": "t"}, idempotency_key=key)
    keys = [seen.headers["idempotency-key"] for seen in service.seen]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again(service: ScriptedService, client: Client, status: int) -> None:
    busy = problem(status, "busy", "later", Retry_After="0")
    service.on("POST", "/plans", busy, busy, answer(samples.job("queued"), 202))
    assert client.plan(REQUEST).id == samples.JOB


def test_a_service_that_stays_busy_is_given_up(service: ScriptedService, client: Client) -> None:
    service.on("GET", samples.PLAN_PATH, problem(503, "database-away", "Send it again.", Retry_After="0"))
    with pytest.raises(ApiProblem) as caught:
        client.job(PLANS, samples.JOB)
    assert caught.value.status == 503
    assert caught.value.slug == "database-away"
    assert len(service.seen) == RetryPolicy().attempts


def test_a_refusal_is_not_repeated_and_names_the_fields(service: ScriptedService, client: Client) -> None:
    error = {"field": "cluster.gpu", "message": "is unknown", "value": "a1oo", "remedy": "use a100-80gb-sxm"}
    service.on("POST", "/plans", problem(422, "invalid-request", "cluster.gpu: is unknown", [error]))
    with pytest.raises(ApiProblem) as caught:
        client.plan(REQUEST)
    [wrong] = caught.value.errors
    assert (wrong.field, wrong.value, wrong.remedy) == ("cluster.gpu", "a1oo", "use a100-80gb-sxm")
    assert caught.value.request_id == "r-1"
    assert len(service.seen) == 1


def test_nobody_listening_is_said_with_address_and_remedy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with (
            Client(planner_url=url, retry=RetryPolicy(first_seconds=0.001)) as client,
            pytest.raises(ServiceUnreachableError) as caught,
        ):
            client.plan(REQUEST)
    message = str(caught.value)
    assert "\n" not in message
    for part in (url, "connection refused", "make up", "ASTROLABE_PLANNER_URL"):
        assert part in message


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with (
        Client(planner_url="http://nowhere.invalid", retry=RetryPolicy(attempts=1)) as client,
        pytest.raises(ServiceUnreachableError, match=r"nowhere\.invalid"),
    ):
        client.plan(REQUEST)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "text/html, not JSON"),
        (answer([1]), "not an object"),
        (answer({"id": samples.JOB}), "status"),
    ],
)
def test_another_kind_of_server_is_told_from_ours(
    service: ScriptedService, client: Client, reply: Reply, said: str
) -> None:
    service.on("GET", samples.PLAN_PATH, reply)
    with pytest.raises(UnexpectedResponseError, match=said):
        client.job(PLANS, samples.JOB)


def test_an_error_page_that_is_no_problem_keeps_its_status_and_text(service: ScriptedService, client: Client) -> None:
    service.on("GET", samples.PLAN_PATH, Reply(404, b"<h1>not\nhere</h1>", {"Content-Type": "text/html"}))
    with pytest.raises(ApiProblem, match=r"Not Found \(HTTP 404\): <h1>not here</h1>"):
        client.job(PLANS, samples.JOB)


def test_the_end_of_patience_is_not_the_end_of_the_job(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")))
    with pytest.raises(WaitTimeoutError) as caught:
        client.plan(REQUEST).wait(timeout_seconds=0)
    assert caught.value.job_id == samples.JOB
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize(("status", "expected"), [("failed", JobFailedError), ("cancelled", JobCancelledError)])
def test_a_job_without_a_result_raises(
    service: ScriptedService, client: Client, status: str, expected: type[JobFailedError]
) -> None:
    error = {"type": "urn:astrolabe:problem:internal", "title": "Internal", "detail": "it broke", "errors": []}
    service.on("GET", samples.PLAN_PATH, answer(samples.job(status, error=error)))
    with pytest.raises(expected, match="it broke") as caught:
        client.job(PLANS, samples.JOB).wait()
    assert caught.value.state.id == samples.JOB


def test_jobs_are_listed_page_after_page(service: ScriptedService, client: Client) -> None:
    pages = [
        answer({"items": [samples.job("queued"), samples.job("running")], "next_cursor": "c2"}),
        answer({"items": [samples.job("failed")], "next_cursor": None}),
    ]
    service.on("GET", "/solve", *pages)
    query = JobQuery([JobStatus.QUEUED, JobStatus.FAILED], {"team": "nlp"}, page_size=2, external_id="run-7")
    assert [job.status for job in client.jobs(EPISODES, query)] == ["queued", "running", "failed"]
    first, second = service.seen
    assert first.params == [
        ("limit", "2"),
        ("sort", "-created_at"),
        ("status", "queued"),
        ("status", "failed"),
        ("label", "team=nlp"),
        ("external_id", "run-7"),
    ]
    assert second.params == [*first.params, ("cursor", "c2")]


def test_pages_are_fetched_as_they_are_needed(service: ScriptedService, client: Client) -> None:
    service.on("GET", "/plans", answer({"items": [samples.job("queued")], "next_cursor": "next"}))
    next(iter(client.jobs(PLANS)))
    assert len(service.seen) == 1


def test_cancel_says_what_became_of_the_job(service: ScriptedService, client: Client) -> None:
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")))
    service.on("POST", f"{samples.PLAN_PATH}/cancel", answer(samples.job("cancelling"), 202))
    assert client.job(PLANS, samples.JOB).cancel().status is JobStatus.CANCELLING


def test_estimates_keep_the_order_of_the_strategies(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/estimates", answer({"estimates": [samples.estimate(2.0), samples.estimate(1.0)]}))
    assert [given.iteration_seconds for given in client.estimate({"strategies": [{}, {}]})] == [2.0, 1.0]
    assert "idempotency-key" not in service.seen[0].headers


def test_a_single_strategy_is_answered_by_one_estimate(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/estimates", answer(samples.estimate(2.0)))
    [given] = client.estimate({"strategy": {}})
    assert given.breakdown["compute"] == 4.0


def test_a_proxy_in_the_environment_does_not_stand_before_this_machine(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    service.on("GET", samples.PLAN_PATH, answer(samples.plan()))
    with Client(planner_url=service.url) as client:
        assert client.job(PLANS, samples.JOB).state.best is not None

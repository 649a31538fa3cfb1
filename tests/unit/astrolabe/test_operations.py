"""The operations without any I/O: each is sent outcomes, and says what it would do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.integration.astrolabe import samples

from astrolabe import PLANS, Config, RetryPolicy, ServiceUnreachableError, WaitTimeoutError
from astrolabe.follow import Follower
from astrolabe.operations import Operations

if TYPE_CHECKING:
    from collections.abc import Generator

    from astrolabe.operations import Step

POLICY = RetryPolicy(attempts=3)


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def operations(clock: Clock) -> Operations:
    return Operations(Config.resolve(environment={}), POLICY, clock)


def reply(document: dict[str, Any], status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=document, headers=named, request=httpx.Request("GET", "http://planner"))


def result_of(operation: Generator[Step, Any, Any], outcome: httpx.Response) -> Any:
    with pytest.raises(StopIteration) as ended:
        operation.send(outcome)
    return ended.value.value


def test_a_retry_waits_as_long_as_the_service_asks_and_repeats_the_call(operations: Operations) -> None:
    operation = operations.submit(PLANS, {"a": 1}, None)
    first = next(operation)
    second = operation.send(reply({}, 503, Retry_After="7"))
    assert (first.after_seconds, second.after_seconds) == (0, 7)
    assert second.call == first.call
    assert result_of(operation, reply(samples.job("queued"), 202)).state.id == samples.JOB


def test_waiting_asks_the_service_to_wait_for_what_is_left(operations: Operations, clock: Clock) -> None:
    operation = operations.wait(PLANS, samples.JOB, 100)
    waits = [dict(next(operation).call.params)["wait"]]
    for elapsed in (60, 30):
        clock.now += elapsed
        waits.append(dict(operation.send(reply(samples.job("running"))).call.params)["wait"])
    assert waits == ["60.000", "40.000", "10.000"]
    assert result_of(operation, reply(samples.plan())).state.ended


def test_time_that_is_up_still_allows_a_last_look(operations: Operations, clock: Clock) -> None:
    operation = operations.wait(PLANS, samples.JOB, 5)
    next(operation)
    clock.now += 5
    assert operation.send(reply(samples.job("running"))).call.params == []
    with pytest.raises(WaitTimeoutError, match="after 5 s"):
        operation.send(reply(samples.job("running")))


def test_a_retry_does_not_outlast_the_patience_of_the_caller(operations: Operations) -> None:
    operation = operations.wait(PLANS, samples.JOB, 5)
    next(operation)
    with pytest.raises(Exception, match="database-away"):
        operation.send(reply({"title": "database-away"}, 503, Retry_After="6"))


def test_waiting_without_a_limit_goes_on(operations: Operations, clock: Clock) -> None:
    operation = operations.wait(PLANS, samples.JOB, None)
    next(operation)
    for _ in range(100):
        clock.now += 60
        assert dict(operation.send(reply(samples.job("running"))).call.params) == {"wait": "60.000"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [(httpx.ReadTimeout(""), "no answer within 30 s"), (httpx.ConnectTimeout(""), "connecting takes too long")],
)
def test_silence_is_unreachable_too(operations: Operations, error: httpx.RequestError, reason: str) -> None:
    operation = operations.read(PLANS, samples.JOB)
    next(operation)
    for _ in range(POLICY.attempts - 1):
        operation.send(error)
    with pytest.raises(ServiceUnreachableError, match=reason):
        operation.send(error)


def test_a_job_id_cannot_lead_out_of_its_path(operations: Operations) -> None:
    assert next(operations.read(PLANS, "../keys?x=1")).call.path == "/plans/..%2Fkeys%3Fx%3D1"


def test_a_stream_comes_back_when_the_service_says(operations: Operations) -> None:
    follower = Follower(operations, PLANS, samples.JOB, 0)
    assert follower.accept(httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}))
    [event] = follower.feed(b'retry: 2500\nevent: job.started\nid: 2\ndata: {"attempt": 1}\n\n')
    follower.lost(httpx.ReadError("cut"))
    assert (event.id, event.type, event.data) == (2, "job.started", {"attempt": 1})
    assert follower.pause_seconds == 2.5
    assert follower.call.headers["Last-Event-ID"] == "2"


def test_any_byte_on_a_stream_renews_its_attempts(operations: Operations) -> None:
    follower = Follower(operations, PLANS, samples.JOB, 0)
    for _ in range(10):
        follower.lost(httpx.ReadError("cut"))
        assert list(follower.feed(b": ping\n\n")) == []
    for _ in range(POLICY.attempts - 1):
        follower.lost(httpx.ReadError("cut"))
    with pytest.raises(ServiceUnreachableError):
        follower.lost(httpx.ReadError("cut"))

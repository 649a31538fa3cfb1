from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import BATCH_PATH, batch, receipt, rejection, result
from tests.integration.astrolabe.scripted_service import NO_ANSWER, Reply, ScriptedService, answer, json_lines, problem

from astrolabe import (
    EPISODES,
    PLANS,
    ApiProblem,
    AsyncClient,
    Client,
    RetryPolicy,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from astrolabe.batches import lines

if TYPE_CHECKING:
    from astrolabe.batches.models import BatchReceipt, BatchState

RESULTS_PATH = f"{BATCH_PATH}/results"
REQUESTS = [{"external_id": f"r-{number}", "task": "t"} for number in range(1, 6)]


def test_many_requests_are_one_body_a_line_each(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/batches", answer(receipt(5), 202))
    submission = client.submit_many(EPISODES, REQUESTS)
    [sent] = service.seen
    assert sent.body == REQUESTS
    assert sent.headers["content-type"] == "application/x-ndjson"
    assert sent.params == []
    assert [batch.id for batch in submission.batches] == [samples.BATCH]
    assert (submission.accepted, submission.duplicates, submission.rejections) == (5, 0, ())


def test_more_than_one_body_holds_becomes_several_batches(
    service: ScriptedService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 2)
    service.on(
        "POST",
        "/batches",
        answer(receipt(2), 202),
        answer(receipt(1, rejection(2, "r-4")), 202),
        answer(receipt(0, duplicates=1), 202),
    )
    told: list[BatchReceipt] = []
    submission = client.submit_many(PLANS, REQUESTS, on_receipt=told.append)
    assert [sent.body for sent in service.seen] == [REQUESTS[:2], REQUESTS[2:4], REQUESTS[4:]]
    assert (submission.accepted, submission.duplicates) == (3, 1)
    assert tuple(told) == submission.receipts
    [refused] = submission.rejections
    assert (refused.line, refused.external_id) == (4, "r-4")
    assert refused.problem.errors[0].remedy == "use a100-80gb-sxm"


def test_a_line_keeps_its_number_though_empty_lines_are_not_sent(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/batches", answer(receipt(1, rejection(2, "b")), 202))
    submission = client.submit_many(PLANS, [b"", b'{"external_id": "a"}', b"  ", b"no JSON\r"])
    assert service.seen[0].body == [{"external_id": "a"}, b"no JSON"]
    assert [refused.line for refused in submission.rejections] == [4]


def test_mere_validation_makes_no_batch(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/batches", answer(receipt(5, id=None, status=None, links={}, created_at=None), 202))
    submission = client.submit_many(PLANS, REQUESTS, validate_only=True)
    assert service.seen[0].params == [("validate_only", "true")]
    assert submission.batches == ()
    assert submission.accepted == 5


def test_a_lost_answer_is_asked_for_again_under_the_same_key(service: ScriptedService, client: Client) -> None:
    service.on("POST", "/batches", NO_ANSWER, answer(receipt(5), 202))
    client.submit_many(PLANS, REQUESTS)
    first, second = service.seen
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_a_given_key_names_each_of_the_batches(
    service: ScriptedService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 3)
    service.on("POST", "/batches", answer(receipt(3), 202))
    for key in ("mine", "mine", None, None):
        client.submit_many(PLANS, REQUESTS, idempotency_key=key)
    keys = [sent.headers["idempotency-key"] for sent in service.seen]
    assert keys[:4] == ["mine-1", "mine-2", "mine-1", "mine-2"]
    assert len(set(keys[4:])) == 4


def test_what_was_cut_short_has_told_of_what_was_accepted(
    service: ScriptedService, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 3)
    limit = problem(429, "rate-limited", "100 a minute", Retry_After="3600", RateLimit='"default";r=0;t=3600')
    service.on("POST", "/batches", answer(receipt(3), 202), limit)
    told: list[BatchReceipt] = []
    with pytest.raises(ApiProblem) as caught:
        client.submit_many(PLANS, REQUESTS, on_receipt=told.append)
    assert [given.accepted for given in told] == [3]
    assert caught.value.retry_after_seconds == 3600
    assert len(service.seen) == 2


def test_waiting_for_a_batch_tells_how_it_gets_on(service: ScriptedService, client: Client) -> None:
    half, done = batch("running", queued=1, succeeded=1), batch(succeeded=1, failed=1)
    unchanged = Reply(304, headers={"ETag": '"1"'})
    service.on("GET", BATCH_PATH, answer(half, ETag='"1"'), answer(half, ETag='"1"'), unchanged, answer(done))
    handle = client.batch(PLANS, samples.BATCH)
    told: list[BatchState] = []
    state = handle.wait(timeout_seconds=600, on_change=told.append)
    assert state.finished
    assert [given.counts.ended for given in told] == [1, 2]
    asked = [sent.headers.get("if-none-match") for sent in service.seen]
    assert asked == [None, None, '"1"', '"1"']


def test_the_end_of_patience_is_not_the_end_of_the_batch(service: ScriptedService, client: Client) -> None:
    service.on("GET", BATCH_PATH, answer(batch("running", queued=1)))
    with pytest.raises(WaitTimeoutError, match=r"Batch .* had not ended after 0 s"):
        client.batch(PLANS, samples.BATCH).wait(timeout_seconds=0)


def test_results_are_read_until_the_batch_is_finished(service: ScriptedService, client: Client) -> None:
    first, second, third = (result(number, samples.plan()) for number in (1, 2, 3))
    service.on(
        "GET",
        BATCH_PATH,
        answer(batch("running", queued=3)),
        answer(batch("running", queued=3)),
        answer(batch("running", queued=1, succeeded=2)),
        answer(batch(succeeded=3)),
    )
    service.on("GET", RESULTS_PATH, json_lines(first, second), json_lines(), json_lines(third), json_lines())
    found = list(client.batch(PLANS, samples.BATCH).results())
    assert [given.cursor for given in found] == ["1", "2", "3"]
    assert all(given.job.best is not None for given in found)
    asked = [dict(sent.params).get("since") for sent in service.requests("GET", RESULTS_PATH)]
    assert asked == [None, "2", "2", "3"]
    waits = [dict(sent.params).get("wait") for sent in service.requests("GET", BATCH_PATH)]
    assert waits == [None, None, None, "5.000"]


def test_results_that_are_cut_off_go_on_after_the_last_whole_line(service: ScriptedService, client: Client) -> None:
    whole = json_lines(result(1, samples.plan()), end="cut")
    torn = Reply(200, whole.body + b'{"cursor": "2", "jo', whole.headers, "cut")
    service.on("GET", BATCH_PATH, answer(batch(succeeded=2)))
    busy = problem(503, "database-away", "Send it again.", Retry_After="0")
    service.on("GET", RESULTS_PATH, torn, busy, json_lines(result(2, samples.plan())), json_lines())
    found = client.batch(PLANS, samples.BATCH).results()
    assert [given.cursor for given in found] == ["1", "2"]
    asked = [dict(sent.params).get("since") for sent in service.requests("GET", RESULTS_PATH)]
    assert asked == [None, "1", "1", "2"]


def test_results_that_break_each_time_are_given_up(service: ScriptedService, client: Client) -> None:
    service.on("GET", BATCH_PATH, answer(batch(succeeded=1)))
    service.on("GET", RESULTS_PATH, problem(503, "database-away", "Send it again.", Retry_After="0"))
    with pytest.raises(ApiProblem, match="503"):
        list(client.batch(PLANS, samples.BATCH).results())
    assert len(service.requests("GET", RESULTS_PATH)) == RetryPolicy().attempts


def test_what_has_ended_so_far_can_be_had_without_waiting(service: ScriptedService, client: Client) -> None:
    service.on("GET", BATCH_PATH, answer(batch("running", queued=1)))
    last = Reply(200, json_lines(result(8, samples.job("failed"))).body.rstrip(), {"Content-Type": "application/jsonl"})
    service.on("GET", RESULTS_PATH, last, json_lines())
    [found] = client.batch(PLANS, samples.BATCH).results("7", follow=False)
    assert found.job.status == "failed"
    assert dict(service.requests("GET", RESULTS_PATH)[0].params) == {"since": "7"}
    assert len(service.requests("GET", BATCH_PATH)) == 1


@pytest.mark.parametrize("reply", [json_lines({"cursor": "1"}), answer({"id": samples.JOB})])
def test_other_results_are_told_from_ours(service: ScriptedService, client: Client, reply: Reply) -> None:
    service.on("GET", BATCH_PATH, answer(batch(succeeded=1)))
    service.on("GET", RESULTS_PATH, reply)
    with pytest.raises(UnexpectedResponseError, match="ASTROLABE_PLANNER_URL"):
        list(client.batch(PLANS, samples.BATCH).results())


def test_a_batch_is_cancelled(service: ScriptedService, client: Client) -> None:
    service.on("GET", BATCH_PATH, answer(batch("running", queued=2)), answer(batch("cancelling", cancelling=2)))
    service.on("POST", f"{BATCH_PATH}/cancel", answer(batch("cancelling", cancelling=2), 202))
    assert client.batch(PLANS, samples.BATCH).cancel().status == "cancelling"


async def test_batches_with_await(service: ScriptedService, async_client: AsyncClient) -> None:
    service.on("POST", "/batches", answer(receipt(2), 202))
    service.on("GET", BATCH_PATH, answer(batch("running", queued=2), ETag='"0"'), answer(batch(succeeded=2)))
    service.on("POST", f"{BATCH_PATH}/cancel", answer(batch("cancelling", cancelling=2), 202))
    busy = problem(503, "database-away", "Send it again.", Retry_After="0")
    page = json_lines(result(1, samples.episode()), result(2, samples.failed_episode()))
    service.on("GET", RESULTS_PATH, busy, NO_ANSWER, page, json_lines())
    submission = await async_client.submit_many(EPISODES, REQUESTS[:2])
    [handle] = submission.batches
    assert (await handle.refresh()).status == "running"
    assert (await handle.wait(60)).finished
    answers: list[Any] = [given.job.answer async for given in handle.results()]
    assert answers == [42, None]
    assert (await handle.cancel()).counts.succeeded == 2
    assert (await async_client.batch(EPISODES, samples.BATCH)).id == samples.BATCH

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import CREATED, PROGRESS, STARTED, SUCCEEDED
from tests.integration.astrolabe.scripted_service import NO_ANSWER, ScriptedService, answer, problem, stream

from astrolabe import EPISODES, PLANS, ApiProblem, ServiceUnreachableError, UnexpectedResponseError

if TYPE_CHECKING:
    from astrolabe import AsyncClient, Client

EVENTS_PATH = f"{samples.PLAN_PATH}/events"
ALL: list[tuple[int, str, dict[str, Any]]] = [CREATED, STARTED, PROGRESS, SUCCEEDED]
TYPES = [kind for _, kind, _ in ALL]


@pytest.fixture(autouse=True)
def running(service: ScriptedService) -> None:
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")))


def resumed_after(service: ScriptedService) -> list[str | None]:
    return [seen.headers.get("last-event-id") for seen in service.requests("GET", EVENTS_PATH)]


def test_events_come_in_order_until_the_job_has_ended(service: ScriptedService, client: Client) -> None:
    service.on("GET", EVENTS_PATH, stream(*ALL, end="silence"))
    events = list(client.job(PLANS, samples.JOB).events())
    assert [event.type for event in events] == TYPES
    assert events[2].data == PROGRESS[2]
    assert resumed_after(service) == [None]


def test_a_cut_stream_is_taken_up_after_the_last_event_seen(service: ScriptedService, client: Client) -> None:
    service.on(
        "GET",
        EVENTS_PATH,
        stream(CREATED, STARTED, end="cut"),
        NO_ANSWER,
        problem(503, "database-away", "later", Retry_After="0"),
        stream(PROGRESS, end="close"),
        stream(SUCCEEDED),
    )
    events = list(client.job(PLANS, samples.JOB).events())
    assert [event.type for event in events] == TYPES
    assert [event.id for event in events] == [1, 2, 3, 5]
    assert resumed_after(service) == [None, "2", "2", "2", "3"]


def test_a_stream_can_be_joined_in_the_middle(service: ScriptedService, client: Client) -> None:
    service.on("GET", EVENTS_PATH, stream(SUCCEEDED))
    list(client.job(PLANS, samples.JOB).events(last_event_id=3))
    assert resumed_after(service) == ["3"]


def test_following_a_job_whose_last_event_was_seen_ends(service: ScriptedService, client: Client) -> None:
    job = client.job(PLANS, samples.JOB)
    service.on("GET", samples.PLAN_PATH, answer(samples.plan()))
    service.on("GET", EVENTS_PATH, stream())
    assert list(job.events(last_event_id=5)) == []


def test_an_empty_stream_of_a_job_that_goes_on_is_opened_again(service: ScriptedService, client: Client) -> None:
    service.on("GET", EVENTS_PATH, stream(), stream(), stream(SUCCEEDED))
    assert [event.type for event in client.job(PLANS, samples.JOB).events()] == ["job.succeeded"]


def test_a_stream_that_breaks_again_and_again_without_a_byte_is_given_up(
    service: ScriptedService, client: Client
) -> None:
    service.on("GET", EVENTS_PATH, stream(CREATED, end="cut"), NO_ANSWER)
    seen: list[object] = []
    with pytest.raises(ServiceUnreachableError):
        seen.extend(client.job(PLANS, samples.JOB).events())
    assert len(resumed_after(service)) == 1 + client.operations.retry.attempts - 1


def test_a_refused_stream_raises_the_problem(service: ScriptedService, client: Client) -> None:
    service.on("GET", EVENTS_PATH, problem(403, "forbidden", "This key lacks the scope 'plans:read'."))
    with pytest.raises(ApiProblem, match="plans:read"):
        list(client.job(PLANS, samples.JOB).events())


def test_a_stream_of_something_else_is_told_from_ours(service: ScriptedService, client: Client) -> None:
    service.on("GET", EVENTS_PATH, answer({}))
    with pytest.raises(UnexpectedResponseError, match="not text/event-stream"):
        list(client.job(PLANS, samples.JOB).events())


async def test_the_async_client_follows_and_resumes_alike(service: ScriptedService, async_client: AsyncClient) -> None:
    service.on("GET", EVENTS_PATH, stream(CREATED, STARTED, end="cut"), NO_ANSWER, stream(PROGRESS, SUCCEEDED))
    job = await async_client.job(PLANS, samples.JOB)
    assert [event.type async for event in job.events()] == TYPES
    assert resumed_after(service) == [None, "2", "2"]


async def test_async_following_can_be_bounded_in_time(service: ScriptedService, async_client: AsyncClient) -> None:
    service.on("GET", EVENTS_PATH, stream(CREATED, end="silence"))
    job = await async_client.job(PLANS, samples.JOB)
    seen: list[object] = []
    with pytest.raises(TimeoutError):  # noqa: PT012 - the loop is what is bounded
        async with asyncio.timeout(0.3):
            async for event in job.events():
                seen.append(event.type)  # noqa: PERF401 - the loop is cut short
    assert seen == ["job.created"]


async def test_the_async_client_submits_waits_and_cancels(service: ScriptedService, async_client: AsyncClient) -> None:
    service.on("POST", "/solve", NO_ANSWER, answer(samples.job("queued", samples.SOLVE_PATH), 202))
    service.on("GET", samples.SOLVE_PATH, answer(samples.job("running", samples.SOLVE_PATH)), answer(samples.episode()))
    service.on("POST", f"{samples.SOLVE_PATH}/cancel", problem(409, "already-ended", "It has ended."))
    job = await async_client.solve({"task": "t"})
    episode = await job.wait(timeout_seconds=60)
    assert (episode.answer, len(episode.votes), len(episode.tree.nodes)) == (42, 2, 4)
    with pytest.raises(ApiProblem) as caught:
        await job.cancel()
    assert caught.value.status == 409


async def test_the_async_client_lists_page_after_page(service: ScriptedService, async_client: AsyncClient) -> None:
    page = {"items": [samples.job("queued", samples.SOLVE_PATH)]}
    service.on("GET", "/solve", answer({**page, "next_cursor": "c"}), answer({**page, "next_cursor": None}))
    assert len([job async for job in async_client.jobs(EPISODES)]) == 2

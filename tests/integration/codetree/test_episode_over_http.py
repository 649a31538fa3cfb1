"""Whole episodes with a real model server, a real sandbox, and faults in between."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.llm_server import llm_server, node_of, program, says
from tests.support.models import open_pool
from tests.support.scripted_http import Answer, Asked, ScriptedServer

from codetree.assemble import build_spec, sandbox_executor
from codetree.engine import EpisodeResult, MemoryJournal, NodeStatus, StopReason, run_episode
from codetree.schemas import SolveRequest
from codetree.settings import CodetreeSettings


def configured(server: ScriptedServer, sandbox_url: str, **changes: object) -> CodetreeSettings:
    given = {"llm_base_url": f"{server.url}/v1", "llm_model": "scripted", "sandbox_url": sandbox_url, **changes}
    return CodetreeSettings(**given)  # type: ignore[arg-type]


async def solve(settings: CodetreeSettings, journal: MemoryJournal | None = None, **request: object) -> EpisodeResult:
    asked = SolveRequest.model_validate({"task": "What is 6 * 7?", **request})
    async with open_pool(asked.weighted_models, settings) as pool, sandbox_executor(settings) as executor:
        return await run_episode(build_spec(asked, pool, settings), llm=pool, executor=executor, journal=journal)


def repairs(asked: Asked) -> Answer:
    """Roots crash; children read the error and mend it."""
    if "." not in node_of(asked)[0]:
        return says(program("answer = {}['fare']"))
    assert "KeyError: 'fare'" in asked.body["messages"][-1]["content"]
    return says(program("final_answer(6 * 7)"))


async def test_failures_are_repaired_by_children(sandbox_url: str) -> None:
    with llm_server(repairs) as server:
        result = await solve(configured(server, sandbox_url), policy={"kind": "tree", "root_width": 2, "branching": 2})
    assert (result.answer, result.stop_reason) == (42, StopReason.ALL_SUCCEEDED)
    assert server.counts == {f"{path}/1": 1 for path in ("1", "2", "1.1", "1.2", "2.1", "2.2")}
    assert result.usage.tokens == 6 * 120
    assert result.usage.money_usd is None, "no price is configured, and unknown is not zero"


async def test_a_resumed_episode_asks_for_no_reply_twice(sandbox_url: str) -> None:
    journal = MemoryJournal()
    with llm_server(repairs) as server:
        settings = configured(server, sandbox_url)
        first = await solve(settings, journal)
        again = await solve(settings, journal)
    assert first == again
    assert set(server.counts.values()) == {1}


async def test_a_branch_whose_model_fails_does_not_stop_the_others(sandbox_url: str) -> None:
    def script(asked: Asked) -> Answer:
        return Answer.json({}, 400) if node_of(asked)[0] == "2" else says(program("final_answer(42)"))

    with llm_server(script) as server:
        result = await solve(configured(server, sandbox_url))
    statuses = [node.status for node in result.nodes]
    assert statuses == [NodeStatus.SUCCEEDED, NodeStatus.MODEL_ERROR, NodeStatus.SUCCEEDED]
    assert result.answer == 42


async def test_a_stalling_branch_ends_with_the_wall_clock_and_within_budget(sandbox_url: str) -> None:
    def script(asked: Asked) -> Answer:
        return Answer(stall=True) if node_of(asked)[0] == "3" else says(program("final_answer(42)"))

    with llm_server(script) as server:
        result = await solve(configured(server, sandbox_url), limits={"wall_seconds": 2, "llm_calls": 6})
    assert (result.answer, result.stop_reason) == (42, StopReason.BUDGET_WALL_SECONDS)
    assert result.usage.llm_calls <= 6


async def test_no_sandbox_is_an_outage(unused_tcp_port: int) -> None:
    with llm_server(lambda _: says(program("final_answer(42)"))) as server:
        settings = configured(server, f"http://127.0.0.1:{unused_tcp_port}", sandbox_max_attempts=1)
        result = await solve(settings)
    assert result.stop_reason is StopReason.EXECUTOR_ERROR
    assert not result.succeeded


async def test_cancelling_an_episode_ends_its_requests(sandbox_url: str) -> None:
    with llm_server(lambda _: Answer(stall=True)) as server:
        episode = asyncio.create_task(solve(configured(server, sandbox_url)))
        await asyncio.to_thread(server.stalled.acquire)
        episode.cancel()
        with pytest.raises(asyncio.CancelledError):
            await episode


async def test_a_money_limit_holds_over_http(sandbox_url: str) -> None:
    with llm_server(lambda _: says(program("crash"))) as server:
        settings = configured(server, sandbox_url, llm_input_usd_per_million=1.0, llm_output_usd_per_million=2.0)
        result = await solve(settings, limits={"money_usd": 0.008})
    assert result.stop_reason is StopReason.BUDGET_MONEY_USD
    assert result.usage.money_usd is not None
    assert 0 < result.usage.money_usd <= 0.008

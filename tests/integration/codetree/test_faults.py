"""Whatever a model server does: every episode ends in a true state, within its budget, and nothing is paid for twice."""

from __future__ import annotations

import json

import pytest
from tests.support.llm_server import completion, llm_server, node_of, program, says
from tests.support.models import open_pool
from tests.support.scripted_http import Answer, Asked, ScriptedServer

from codetree.assemble import build_spec, sandbox_executor
from codetree.engine import (
    EpisodeResult,
    MemoryJournal,
    NobodyExecutor,
    NobodyLLM,
    NodeStatus,
    Replay,
    StopReason,
    run_episode,
)
from codetree.schemas import SolveRequest
from codetree.settings import CodetreeSettings

WHOLE = json.dumps(completion(program("final_answer(42)"))).encode()
FAULTS = {
    "drops": Answer(drop=True),
    "stalls": Answer(stall=True),
    "breaks-off": Answer(body=WHOLE, cut_after=40),
    "429": Answer.json({"error": {"message": "slow down"}}, 429, Retry_After="0"),
    "500": Answer.json({"error": {"message": "oh"}}, 500),
    "503-page": Answer(503, b"<html>maintenance</html>"),
    "garbage": Answer(body=b"\xff\xfe\x00 no json"),
    "truncated-json": Answer(body=WHOLE[: len(WHOLE) // 2]),
    "empty": Answer(body=b""),
    "no-choices": Answer.json({"choices": []}),
}
NOT_BILLED = {"429", "500", "503-page"}
LIMITS = {"llm_calls": 6, "tokens": 100_000, "money_usd": 1.0}
REQUEST = {"task": "What is 6 * 7?", "policy": {"kind": "programs", "count": 3}, "limits": LIMITS}


def configured(server: ScriptedServer, sandbox_url: str) -> CodetreeSettings:
    return CodetreeSettings(
        llm_base_url=f"{server.url}/v1",
        llm_model="scripted",
        llm_timeout_seconds=1.0,
        llm_max_attempts=2,
        llm_input_usd_per_million=1.0,
        llm_output_usd_per_million=2.0,
        sandbox_url=sandbox_url,
    )


async def solve(settings: CodetreeSettings, journal: MemoryJournal, **changes: object) -> EpisodeResult:
    asked = SolveRequest.model_validate({**REQUEST, **changes})
    async with open_pool(asked.weighted_models, settings) as pool, sandbox_executor(settings) as executor:
        spec = build_spec(asked, pool, settings)
        result = await run_episode(spec, llm=pool, executor=executor, journal=journal)
        assert result.usage.llm_calls <= LIMITS["llm_calls"]
        assert result.usage.tokens <= LIMITS["tokens"]
        assert (result.usage.money_usd or 0.0) <= LIMITS["money_usd"]
        replayed = await run_episode(
            spec, llm=NobodyLLM(), executor=NobodyExecutor(), journal=journal, replay=Replay.of(result)
        )
        assert replayed == result
    return result


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_passes_is_only_a_delay(sandbox_url: str, fault: str) -> None:
    def script(asked: Asked) -> Answer:
        first = node_of(asked)[0] == "2" and asked.occurrence == 1
        return FAULTS[fault] if first else says(program("final_answer(42)"))

    with llm_server(script) as server:
        result = await solve(configured(server, sandbox_url), MemoryJournal())
        assert server.counts == {"1/1": 1, "2/1": 2, "3/1": 1}
    assert (result.answer, result.votes[0].count, result.stop_reason) == (42, 3, StopReason.ALL_SUCCEEDED)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_that_lasts_ends_its_branch_alone(sandbox_url: str, fault: str) -> None:
    journal = MemoryJournal()
    with llm_server(
        lambda asked: FAULTS[fault] if node_of(asked)[0] == "2" else says(program("final_answer(42)"))
    ) as server:
        settings = configured(server, sandbox_url)
        result = await solve(settings, journal)
        assert [node.status for node in result.nodes] == [
            NodeStatus.SUCCEEDED,
            NodeStatus.MODEL_ERROR,
            NodeStatus.SUCCEEDED,
        ]
        assert (result.answer, result.votes[0].count) == (42, 2)
        charged = result.nodes[1].usage.tokens > 0
        assert charged is (fault not in NOT_BILLED), "what may have been billed is counted as if it was"
        asked = len(server.asked)
        assert await solve(settings, journal) == result
        assert len(server.asked) == asked, "a resumed episode meets the same failure and asks nobody"


@pytest.mark.parametrize("fault", ["drops", "500", "garbage"])
async def test_a_server_that_is_away_for_all_is_an_honest_failure(sandbox_url: str, fault: str) -> None:
    with llm_server(lambda _: FAULTS[fault]) as server:
        result = await solve(configured(server, sandbox_url), MemoryJournal())
    assert (result.succeeded, result.stop_reason) == (False, StopReason.PROVIDER_ERROR)
    assert {node.status for node in result.nodes} == {NodeStatus.MODEL_ERROR}
    assert result.error


async def test_evolving_prompts_that_fails_costs_no_answer(sandbox_url: str) -> None:
    policy = {"kind": "programs", "count": 3, "exploration": {"prompts": "evolved", "prompt_count": 3}}
    with llm_server(
        lambda asked: FAULTS["garbage"] if node_of(asked)[0] == "0" else says(program("final_answer(42)"))
    ) as server:
        result = await solve(configured(server, sandbox_url), MemoryJournal(), policy=policy)
    assert (result.answer, result.votes[0].count) == (42, 3)
    assert [variant.evolved for variant in result.prompts] == [False] * 3
    assert result.usage.llm_calls == 5
    assert result.usage.estimated, "a call without a reply that may have been billed"

"""The recorded episode: replayed without a model, run for real in the jail."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.models import open_pool

from codetree.assemble import build_spec
from codetree.engine import DecidedBy, EpisodeResult, NodeStatus, StopReason, run_episode
from codetree.executor import SandboxExecutor
from codetree.llm import load_recording, recording_names
from codetree.schemas import SolveRequest, SolveResult
from codetree.settings import CodetreeSettings


async def replayed(name: str, sandbox_url: str) -> EpisodeResult:
    settings = CodetreeSettings(sandbox_url=sandbox_url)
    request = SolveRequest.model_validate(load_recording(name).request)
    async with open_pool(request.weighted_models, settings) as pool, SandboxExecutor(sandbox_url) as executor:
        return await run_episode(build_spec(request, pool, settings), llm=pool, executor=executor)


@pytest.fixture(scope="module")
def demo(sandbox_url: str) -> EpisodeResult:
    return asyncio.run(replayed("demo", sandbox_url))


def test_there_is_a_demo() -> None:
    assert "demo" in recording_names()


def test_the_demo_grows_its_tree(demo: EpisodeResult) -> None:
    fates = {node.path: node.status for node in demo.nodes}
    failed = [path for path, status in fates.items() if status is NodeStatus.FAILED]
    assert failed == ["1", "2", "1.2"]
    assert {status for path, status in fates.items() if path not in failed} == {NodeStatus.SUCCEEDED}
    assert list(fates) == ["1", "2", "3", "1.1", "1.2", "2.1", "2.2", "1.2.1", "1.2.2"]


def test_the_demo_is_decided_by_majority_against_a_dissent(demo: EpisodeResult) -> None:
    assert (demo.answer, demo.decided_by) == (1212.0, DecidedBy.MAJORITY)
    assert demo.stop_reason is StopReason.ALL_SUCCEEDED
    assert [(vote.answer, vote.nodes) for vote in demo.votes] == [
        (1212.0, ("1.1", "2.1", "2.2", "1.2.1", "1.2.2")),
        (993.85, ("3",)),
    ]


def test_the_demo_fails_for_the_reasons_its_children_give(demo: EpisodeResult) -> None:
    errors = {node.path: node.error for node in demo.nodes if node.error}
    assert errors == {
        "1": "ValueError: too many values to unpack (expected 2)",
        "2": "KeyError: 'tariff'",
        "1.2": "ValueError: leg L15: a propeller plane takes nothing heavier than 300 kg",
    }
    execution = demo.nodes[0].execution
    assert execution is not None
    assert 'File "program.py", line 2, in price' in execution.stderr
    assert "bootstrap" not in execution.stderr
    assert "start(" not in execution.stderr


def test_the_demo_says_that_no_model_was_asked(demo: EpisodeResult) -> None:
    shown = SolveResult.from_episode(demo)
    assert shown.providers == ["offline-replay"]
    assert shown.notes == ["replayed from the recording 'demo'; no model was asked"]
    assert all(node.provider == "offline-replay" for node in shown.tree.nodes)
    assert shown.usage.money_usd == 0


def test_one_node_of_the_demo_needed_a_repair_turn(demo: EpisodeResult) -> None:
    assert [node.path for node in demo.nodes if node.turns == 2] == ["1.2.2"]

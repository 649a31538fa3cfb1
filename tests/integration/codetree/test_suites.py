"""Every suite's reference solutions, run with its tools in the real jail, give the expected answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.episodes import NobodyAsks

from codetree.engine import CallKey, Program
from codetree.evaluate.score import tolerant
from codetree.evaluate.suite import Suite, SuiteTask, load_suite
from codetree.executor import SandboxExecutor
from codetree.tools.python_source import python_tool

WORKSHOP = Path(__file__).resolve().parents[3] / "examples" / "suites" / "workshop.json"


async def solved(suite: Suite, task: SuiteTask, executor: SandboxExecutor, gate: asyncio.Semaphore) -> bool:
    tools = tuple(python_tool(tool.name, tool.description, tool.source) for tool in suite.tools(task))
    async with gate:
        execution = await executor.execute(Program(CallKey("1", 1), task.solution or "", tools), NobodyAsks())
    return execution.result_given and tolerant(task, execution.result)


@pytest.mark.parametrize("name", ["m3tooleval", "apibank_level3", str(WORKSHOP)])
async def test_tools_and_expected_answers_agree(name: str, sandbox_url: str) -> None:
    suite, gate = load_suite(name), asyncio.Semaphore(4)
    async with SandboxExecutor(sandbox_url) as executor:
        right = await asyncio.gather(*(solved(suite, task, executor, gate) for task in suite.tasks))
    assert [task.id for task, ok in zip(suite.tasks, right, strict=True) if not ok] == []

"""The sandbox client: against the real sandbox for what programs do, against a scripted one for what sandboxes do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.episodes import NobodyAsks
from tests.support.scripted_http import Answer, Asked, ScriptedServer

from codetree.engine import CallKey, Execution, ExecutionStatus, ExecutorError, Program
from codetree.executor import SandboxExecutor

OK: dict[str, Any] = {
    "status": "ok",
    "reason": None,
    "exit_code": 0,
    "signal": None,
    "stdout": "hi\0",
    "stderr": "",
    "truncated": {"stdout": True, "stderr": False},
    "result": {"a": [1, None]},
    "result_given": True,
    "files": [],
    "usage": {"wall_ms": 12.5, "cpu_ms": 8.0, "max_rss_bytes": 1024, "oom_killed": False},
    "isolation": {"backend": "bubblewrap"},
}


def program(code: str, wall_seconds: float = 10.0) -> Program:
    return Program(CallKey("1", 1), code, wall_seconds=wall_seconds)


async def really(url: str, code: str, wall_seconds: float = 10.0) -> Execution:
    async with SandboxExecutor(url) as executor:
        return await executor.execute(program(code, wall_seconds), NobodyAsks())


async def test_an_answer_comes_back(sandbox_url: str) -> None:
    execution = await really(sandbox_url, "print('hi')\nfinal_answer({'a': [1, None]})")
    assert (execution.status, execution.result_given, execution.result) == (ExecutionStatus.OK, True, {"a": [1, None]})
    assert execution.stdout == "hi\n"
    assert execution.wall_ms > 0


async def test_null_is_told_from_no_answer(sandbox_url: str) -> None:
    assert (await really(sandbox_url, "final_answer(None)")).result_given
    assert not (await really(sandbox_url, "print('done')")).result_given


async def test_an_error_is_the_programs(sandbox_url: str) -> None:
    execution = await really(sandbox_url, "{}['fare']")
    assert execution.status is ExecutionStatus.ERROR
    assert execution.stderr.rstrip().endswith("KeyError: 'fare'")


async def test_a_timeout_is_the_programs(sandbox_url: str) -> None:
    assert (await really(sandbox_url, "while True: pass", 0.5)).status is ExecutionStatus.TIMEOUT


async def test_a_killed_program_names_its_signal(sandbox_url: str) -> None:
    execution = await really(sandbox_url, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (execution.signal, execution.result_given) == ("SIGSEGV", False)


# --- what sandboxes do ------------------------------------------------------------------------------------------------


class Sleeps:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def answers(*given: Answer) -> Callable[[Asked], Answer]:
    return lambda asked: given[min(asked.occurrence, len(given)) - 1]


async def scripted(server: ScriptedServer, sleeps: Sleeps | None = None, **options: Any) -> Execution:
    async with SandboxExecutor(server.url, sleep=sleeps or Sleeps(), max_attempts=3, **options) as executor:
        return await executor.execute(program("final_answer(1)"), NobodyAsks())


async def test_the_contract() -> None:
    with ScriptedServer(answers(Answer.json(OK))) as server:
        execution = await scripted(server, token=SecretStr("shared"))
    asked = server.asked[0]
    assert (asked.path, asked.headers["Authorization"]) == ("/executions", "Bearer shared")
    assert asked.body["code"] == "final_answer(1)"
    assert asked.body["limits"]["wall_seconds"] == 10.0
    assert execution == Execution(
        ExecutionStatus.OK,
        exit_code=0,
        stdout="hi\ufffd",
        stdout_truncated=True,
        result_given=True,
        result={"a": [1, None]},
        wall_ms=12.5,
        cpu_ms=8.0,
        max_rss_bytes=1024,
    )


async def test_a_busy_sandbox_is_asked_again_when_it_says() -> None:
    sleeps = Sleeps()
    with ScriptedServer(answers(Answer.json({}, 503, Retry_After="2"), Answer.json(OK))) as server:
        assert (await scripted(server, sleeps)).status is ExecutionStatus.OK
    assert sleeps.seconds == [2.0]


@pytest.mark.parametrize(
    "fault",
    [
        Answer(drop=True),
        Answer(200, b"{"),
        Answer(500, b"oops"),
        Answer.json({**OK, "status": "sandbox_error", "reason": "no namespaces"}),
        Answer.json({**OK, "status": "something new"}),
    ],
)
async def test_outages_are_retried_and_never_the_programs_failure(fault: Answer) -> None:
    with ScriptedServer(answers(fault, Answer.json(OK))) as server:
        assert (await scripted(server)).status is ExecutionStatus.OK
    with ScriptedServer(answers(fault)) as server, pytest.raises(ExecutorError):
        await scripted(server)
    assert server.count() == 3


async def test_a_connection_that_the_sandbox_is_closing_is_no_outage() -> None:
    """A program is run again, on a new connection; a session is ended all the same."""
    started = Answer.json({"id": "s-1"}, 201)
    sleeps = Sleeps()
    with ScriptedServer(
        lambda asked: started if asked.path == "/sessions" else Answer.json(OK), closes_idle=True
    ) as server:
        async with SandboxExecutor(server.url, sleep=sleeps) as executor:
            step = replace(program("final_answer(1)"), session="s")
            assert (await executor.execute(step, NobodyAsks())).status is ExecutionStatus.OK
            assert (await executor.execute(program("final_answer(1)"), NobodyAsks())).status is ExecutionStatus.OK
    assert [asked.path for asked in server.asked] == ["/sessions", "/executions", "/executions", "/sessions/s-1"]
    assert server.hung_up == 3


async def test_a_sandbox_that_cannot_confine_gives_its_reason() -> None:
    fault = Answer.json({**OK, "status": "sandbox_error", "reason": "no namespaces"})
    with ScriptedServer(answers(fault)) as server, pytest.raises(ExecutorError, match="no namespaces"):
        await scripted(server)


@pytest.mark.parametrize("status", [401, 413, 422])
async def test_a_request_the_sandbox_refuses_is_not_repeated(status: int) -> None:
    with (
        ScriptedServer(answers(Answer.json({"detail": "limits.wall_seconds"}, status))) as server,
        pytest.raises(ExecutorError, match=r"limits\.wall_seconds"),
    ):
        await scripted(server)
    assert server.count() == 1

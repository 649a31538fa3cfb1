"""Hosted functions: within the budget, recorded, and never paid for twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.episodes import Replies, spec, written

from codetree.engine import (
    CallKey,
    EpisodeResult,
    EpisodeSpec,
    EventType,
    Execution,
    ExecutionStatus,
    ExecutorError,
    Limits,
    LLMCall,
    LLMError,
    LLMErrorKind,
    LLMReply,
    MemoryJournal,
    ModelSpec,
    NobodyExecutor,
    NobodyLLM,
    NodeStatus,
    Price,
    Program,
    Replay,
    StopReason,
    ToolFailedError,
    ToolHost,
    TreePolicy,
    code_actions,
    many_programs,
    one_program,
    run_episode,
)
from codetree.tools.builtin import llm_tool, planner_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

PRICED = (ModelSpec("priced", Price(1.0, 2.0)),)
ASKING = spec(models=PRICED, policy=one_program(), tools=(llm_tool(None, 100, 20),))


class Asking:
    """Runs programs of lines ``ask PROMPT``, then answers with what it was told last. ``lost`` runs end in an outage."""

    def __init__(self, *, lost: int = 0) -> None:
        self.lost = lost

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        run = await host.answer(program.key)
        told: JsonValue = None
        try:
            for line in program.code.splitlines():
                told = await run.call("ask_llm", {"prompt": line.removeprefix("ask ")})
        except ToolFailedError as error:
            return Execution(ExecutionStatus.ERROR, exit_code=1, stderr=f"ToolError: {error}")
        if self.lost:
            self.lost -= 1
            raise ExecutorError("the sandbox restarts")
        return Execution(ExecutionStatus.OK, exit_code=0, result_given=True, result=told)


class Model(Replies):
    """Writes the same program everywhere, and answers every program's question with its count."""

    def __init__(self, code: str) -> None:
        super().__init__(lambda *_: written(code))
        self.questions: list[LLMCall] = []

    async def complete(self, call: LLMCall) -> LLMReply:
        reply = await super().complete(call)
        if call.key.tool:
            self.questions.append(call)
            return replace(reply, text=f"answer {len(self.questions)}")
        return reply


def run(of: EpisodeSpec, model: Replies, executor: Asking, journal: MemoryJournal | None = None) -> EpisodeResult:
    return asyncio.run(run_episode(of, llm=model, executor=executor, journal=journal))


def test_what_a_program_asks_is_answered_counted_and_told() -> None:
    model, journal = Model("ask how?\nask how?"), MemoryJournal()
    result = run(ASKING, model, Asking(), journal)
    assert result.answer == "answer 2", "the same question asked twice is two calls"
    assert [call.messages[0].content for call in model.questions] == ["how?", "how?"]
    assert result.usage.llm_calls == 3
    assert result.usage == result.nodes[0].usage
    execution = result.nodes[0].execution
    assert execution is not None
    assert execution.tool_usage.llm_calls == 2
    assert [event.type for event in journal.events.values()].count(EventType.TOOL_CALLED) == 2


def test_a_program_that_runs_again_is_told_the_same_and_pays_nothing_twice() -> None:
    model, journal = Model("ask how?\nask why?"), MemoryJournal()
    lost = run(ASKING, model, Asking(lost=1), journal)
    assert (lost.nodes[0].status, lost.usage.llm_calls) == (NodeStatus.EXECUTOR_ERROR, 3)
    again = run(ASKING, model, Asking(), journal)
    assert (again.answer, again.usage.llm_calls) == ("answer 2", 3)
    assert again.usage == lost.usage + replace(
        lost.usage, llm_calls=0, programs=1, input_tokens=0, output_tokens=0, money_usd=0.0
    )
    assert len(model.questions) == 2


def test_a_replay_asks_nobody_and_has_the_same_result() -> None:
    journal = MemoryJournal()
    result = run(ASKING, Model("ask how?"), Asking(), journal)
    episode = run_episode(ASKING, llm=NobodyLLM(), executor=NobodyExecutor(), journal=journal, replay=Replay.of(result))
    assert asyncio.run(episode) == result


@pytest.mark.parametrize("limits", [Limits(llm_calls=2), Limits(tokens=8000), Limits(money_usd=0.012)])
def test_a_call_that_the_budget_does_not_allow_is_refused(limits: Limits) -> None:
    model = Model("\n".join(["ask " + "x" * 2000] * 5))
    result = run(replace(ASKING, limits=limits), model, Asking())
    error = result.nodes[0].error
    assert error is not None
    assert "the episode's budget does not allow it: limits." in error
    assert within(result, limits)
    assert len(model.questions) < 5


def within(result: EpisodeResult, limits: Limits) -> bool:
    used = result.usage
    return (
        used.llm_calls <= (limits.llm_calls or used.llm_calls)
        and used.tokens <= (limits.tokens or used.tokens)
        and (used.money_usd or 0.0) <= (limits.money_usd or used.money_usd or 0.0)
    )


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Limits,
        llm_calls=st.none() | st.integers(1, 40),
        tokens=st.none() | st.integers(1, 60_000),
        money_usd=st.none() | st.floats(0.001, 0.1),
    ),
    st.integers(1, 4),
)
def test_programs_that_ask_never_pass_the_budget(limits: Limits, questions: int) -> None:
    of = replace(ASKING, policy=TreePolicy(branching=2), limits=limits)
    result = run(of, Model("\n".join(["ask how?"] * questions)), Asking())
    assert within(result, limits)


def test_a_model_that_does_not_answer_is_the_programs_error_and_its_address_is_not_told() -> None:
    class Away(Model):
        async def complete(self, call: LLMCall) -> LLMReply:
            if call.key.tool:
                raise LLMError(LLMErrorKind.TIMEOUT, "http://secret.internal did not answer", may_be_billed=True)
            return await super().complete(call)

    result = run(ASKING, Away("ask how?"), Asking())
    assert result.nodes[0].error == "ToolError: the model did not answer: timeout"
    assert (result.usage.llm_calls, result.usage.estimated) == (2, True)


def test_a_call_in_flight_when_the_clock_runs_out_is_charged() -> None:
    class Stalling(Model):
        async def complete(self, call: LLMCall) -> LLMReply:
            if call.key.tool:
                await asyncio.Event().wait()
            return await super().complete(call)

    result = run(replace(ASKING, limits=Limits(wall_seconds=0.2)), Stalling("ask how?"), Asking())
    assert (result.stop_reason, result.nodes[0].status) == (StopReason.BUDGET_WALL_SECONDS, NodeStatus.ABANDONED)
    assert result.usage.estimated
    assert result.usage.llm_calls == 3, "the node's turn and its repair, and the call it made"


def test_an_earlier_step_may_only_repeat_what_it_asked() -> None:
    class Twice(Asking):
        async def execute(self, program: Program, host: ToolHost) -> Execution:
            for step in program.history:
                repeated = await host.answer(step.key, again=True)
                assert await repeated.call("ask_llm", {"prompt": "how?"}) == "answer 1"
                with pytest.raises(ToolFailedError, match="asked for something else"):
                    await repeated.call("ask_llm", {"prompt": "why?"})
            done = await super().execute(program, host)
            return replace(done, result_given=bool(program.history))

    model = Model("ask how?")
    result = run(replace(ASKING, policy=code_actions(2)), model, Twice())
    assert result.answer == "answer 2"
    assert len(model.questions) == 2, "each step's own"


def test_programs_that_ask_are_never_taken_for_duplicates() -> None:
    result = run(replace(ASKING, policy=many_programs(2)), Model("ask how?"), Asking())
    assert [node.duplicate_of for node in result.nodes] == [None, None]


def test_services_answer_under_a_key_that_names_the_call() -> None:
    seen = []

    class Planner:
        async def call(self, key: CallKey, function: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
            seen.append((key, function, arguments))
            if function == "plan":
                raise ToolFailedError("cluster.gpu: no such GPU")
            return [{"usd": 3}]

    class Plans(Asking):
        async def execute(self, program: Program, host: ToolHost) -> Execution:
            run = await host.answer(program.key)
            with pytest.raises(ToolFailedError, match="no such GPU"):
                await run.call("plan", {"model": {}})
            with pytest.raises(ToolFailedError, match="no such tool"):
                await run.call("ask_llm", {"prompt": "how?"})
            told = await run.call("catalog", {"kind": "prices"})
            return Execution(ExecutionStatus.OK, exit_code=0, result_given=True, result=told)

    of = replace(ASKING, tools=(planner_tool(20),))
    episode = run_episode(of, llm=Model("x"), executor=Plans(), services=Planner())
    assert asyncio.run(episode).answer == [{"usd": 3}]
    keys = [key for key, _, _ in seen]
    assert [key.tool.partition("/")[0] for key in keys] == ["plan", "catalog"]
    assert len(set(keys)) == 2

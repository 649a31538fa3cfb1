"""A replay is the episode itself, whatever happened in it, and nobody is asked."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.episodes import Lines, Replies, by_chance, spec, written

from codetree.engine import (
    EpisodeResult,
    EpisodeSpec,
    Execution,
    Exploration,
    Limits,
    LLMCall,
    LLMReply,
    MemoryJournal,
    ModelSpec,
    NobodyExecutor,
    NobodyLLM,
    NodeStatus,
    Price,
    Program,
    PromptPool,
    Replay,
    StopReason,
    ToolHost,
    TreePolicy,
    code_actions,
    run_episode,
)

SEEDS = st.integers(0, 10_000)
PRICED = (ModelSpec("cheap", Price(0.5, 1.5), 2.0), ModelSpec("dear", Price(3.0, 15.0)))
POLICIES = st.builds(
    TreePolicy,
    root_width=st.integers(1, 3),
    branching=st.integers(1, 3),
    max_layers=st.integers(1, 3),
    quorum=st.none() | st.integers(1, 4),
    expand_duplicates=st.booleans(),
    exploration=st.builds(Exploration, prompts=st.sampled_from([PromptPool.OFF, PromptPool.BUILTIN])),
) | st.builds(code_actions, st.integers(1, 5))
LIMITS = st.builds(Limits, llm_calls=st.none() | st.integers(1, 20), programs=st.none() | st.integers(1, 20))


def replayed(of: EpisodeSpec, journal: MemoryJournal, result: EpisodeResult) -> EpisodeResult:
    episode = run_episode(
        of, llm=NobodyLLM(), executor=NobodyExecutor(), journal=journal, replay=Replay.of(result), clock=lambda: 1e9
    )
    return asyncio.run(episode)


@settings(deadline=None)
@given(SEEDS, POLICIES, LIMITS)
def test_a_replay_has_the_same_result(seed: int, policy: TreePolicy, limits: Limits) -> None:
    of, journal = spec(policy=policy, limits=limits, models=PRICED), MemoryJournal()
    result = asyncio.run(run_episode(of, llm=Replies(by_chance(seed)), executor=Lines(), journal=journal))
    assert replayed(of, journal, result) == result


def test_a_replay_ends_where_the_clock_ended_the_episode() -> None:
    class Stalling(Replies):
        async def complete(self, call: LLMCall) -> LLMReply:
            if call.key.path == "1.2":
                await asyncio.Event().wait()
            return await super().complete(call)

    of, journal = spec(limits=Limits(wall_seconds=0.3)), MemoryJournal()
    llm = Stalling(lambda *_: written("crash Boom"))
    result = asyncio.run(run_episode(of, llm=llm, executor=Lines(), journal=journal))
    assert result.stop_reason is StopReason.BUDGET_WALL_SECONDS
    assert NodeStatus.ABANDONED in {node.status for node in result.nodes}
    assert replayed(of, journal, result) == result


def test_a_replay_ends_where_the_clock_kept_a_layer_from_starting() -> None:
    of, journal, times = spec(limits=Limits(wall_seconds=5)), MemoryJournal(), iter([0.0, 1.0, 1.0, *[9.0] * 50])
    llm = Replies(lambda *_: written("crash Boom"))
    episode = run_episode(of, llm=llm, executor=Lines(), journal=journal, clock=lambda: next(times))
    result = asyncio.run(episode)
    assert (len(result.nodes), result.stop_reason) == (3, StopReason.BUDGET_WALL_SECONDS)
    assert replayed(of, journal, result) == result


def test_what_is_not_recorded_is_a_miss_not_a_call() -> None:
    of = spec(policy=TreePolicy(root_width=1, max_layers=1))
    result = asyncio.run(run_episode(of, llm=Replies(lambda *_: written("answer 7")), executor=Lines()))
    empty = replayed(of, MemoryJournal(), result)
    assert empty.nodes[0].error == "recording_miss: no reply is recorded for node 1, turn 1"


@pytest.mark.parametrize("steps", [1, 4])
def test_a_codeact_episode_runs_its_steps_in_one_session(steps: int) -> None:
    seen = []

    class Watching(Lines):
        async def execute(self, program: Program, host: ToolHost) -> Execution:
            seen.append((program.session, tuple(step.code for step in program.history)))
            return await super().execute(program, host)

    replies = Replies(lambda path, _: written("silent" if path.count(".") < steps - 1 else "answer 7"))
    result = asyncio.run(run_episode(spec(policy=code_actions(4)), llm=replies, executor=Watching()))
    assert (result.answer, result.stop_reason) == ("7", StopReason.ALL_SUCCEEDED)
    assert seen == [("steps", ("silent",) * number) for number in range(steps)]
    assert [node.status for node in result.nodes] == [*[NodeStatus.ACTED] * (steps - 1), NodeStatus.SUCCEEDED]
    assert [len(call.messages) for call in replies.calls] == [2 + 2 * number for number in range(steps)]


def test_a_codeact_episode_without_an_answer_ends_with_its_turns() -> None:
    result = asyncio.run(
        run_episode(spec(policy=code_actions(3)), llm=Replies(lambda *_: written("silent")), executor=Lines())
    )
    assert (len(result.nodes), result.stop_reason, result.succeeded) == (3, StopReason.LAYERS_EXHAUSTED, False)

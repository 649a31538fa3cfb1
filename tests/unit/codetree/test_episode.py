"""Tree-of-Code step by step, in the order of its description."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from tests.support.episodes import Lines, Replies, spec, written

from codetree.engine import (
    AnswerFormat,
    AnswerType,
    DecidedBy,
    EpisodeResult,
    EventType,
    Limits,
    LLMError,
    LLMErrorKind,
    MemoryJournal,
    ModelSpec,
    NodeStatus,
    Price,
    StopReason,
    TreePolicy,
    many_programs,
    one_program,
    run_episode,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codetree.engine import EpisodeSpec, LLMCall, LLMReply


def tree_of(fates: Mapping[str, str], default: str = "crash Boom") -> Replies:
    return Replies(lambda path, _: written(fates.get(path, default)))


def run(of: EpisodeSpec, replies: Replies, journal: MemoryJournal | None = None) -> EpisodeResult:
    return asyncio.run(run_episode(of, llm=replies, executor=Lines(), journal=journal))


def paths(result: EpisodeResult) -> list[str]:
    return [node.path for node in result.nodes]


def test_a_tree_whose_roots_succeed_does_not_grow() -> None:
    result = run(spec(), tree_of({}, "answer 7"))
    assert paths(result) == ["1", "2", "3"]
    assert (result.answer, result.decided_by, result.stop_reason) == (
        "7",
        DecidedBy.UNANIMITY,
        StopReason.ALL_SUCCEEDED,
    )


def test_only_failed_nodes_are_expanded_and_breadth_first() -> None:
    replies = tree_of({"2": "answer 7", "1.1": "answer 7", "1.2": "answer 7", "3.1": "answer 7", "3.2": "answer 7"})
    result = run(spec(policy=TreePolicy(branching=2)), replies)
    assert paths(result) == ["1", "2", "3", "1.1", "1.2", "3.1", "3.2"]
    assert [node.layer for node in result.nodes] == [1, 1, 1, 2, 2, 2, 2]
    assert result.votes[0].nodes == ("2", "1.1", "1.2", "3.1", "3.2")


def test_a_tree_of_failures_is_full_and_ends_honestly() -> None:
    result = run(spec(), tree_of({}))
    assert len(result.nodes) == 3 + 9 + 27
    assert (result.succeeded, result.answer, result.votes, result.decided_by) == (False, None, (), None)
    assert result.stop_reason is StopReason.LAYERS_EXHAUSTED
    assert result.best_attempt == "1.1.1"
    assert result.error is not None
    assert "Boom" in result.error


def test_a_program_that_ends_without_an_answer_has_failed() -> None:
    result = run(spec(policy=one_program()), tree_of({"1": "silent"}))
    assert result.nodes[0].status is NodeStatus.FAILED
    assert result.nodes[0].error == "it ended without calling final_answer(value)"


def test_an_answer_of_the_wrong_type_has_failed() -> None:
    number = AnswerFormat(AnswerType.NUMBER)
    result = run(spec(policy=one_program(), answer_format=number), tree_of({"1": "answer soon"}))
    assert result.nodes[0].error == 'final_answer was given "soon", which is not a number as the task asks'


def test_the_best_attempt_is_the_one_that_came_furthest() -> None:
    fates = {"1": "crash A", "2": "silent", "3": "crash C"}
    assert run(spec(policy=many_programs(3)), tree_of(fates)).best_attempt == "2"


def test_a_child_learns_from_its_parents_failure() -> None:
    replies = tree_of({"1": "crash KeyError: 'fare'"}, "answer 7")
    run(spec(policy=TreePolicy(root_width=1)), replies)
    child = next(call for call in replies.calls if call.key.path == "1.1")
    prompt = child.messages[-1].content
    assert "about crash KeyError: 'fare'" in prompt, "the parent's thought"
    assert "crash KeyError: 'fare'\n</untrusted" in prompt, "the parent's code"
    assert "Traceback:\nKeyError: 'fare'\n</untrusted" in prompt, "the parent's error"


def test_a_reply_without_a_program_gets_one_repair_turn() -> None:
    replies = Replies(lambda _, turn: "Let me think." if turn == 1 else written("answer 7"))
    result = run(spec(policy=one_program()), replies)
    assert result.answer == "7"
    assert (result.nodes[0].turns, result.usage.llm_calls, result.usage.programs) == (2, 2, 1)
    assert replies.calls[1].messages[-2].content == "Let me think."


def test_a_node_that_never_gives_a_program_is_malformed_and_expanded() -> None:
    replies = Replies(lambda path, _: "No." if path == "1" else written("answer 7"))
    result = run(spec(policy=TreePolicy(root_width=1)), replies)
    assert [node.status for node in result.nodes] == [NodeStatus.MALFORMED, *[NodeStatus.SUCCEEDED] * 3]
    assert "holds no <execute> block" in next(c for c in replies.calls if c.key.path == "1.1").messages[-1].content


def test_the_majority_decides_and_the_dissent_is_kept() -> None:
    result = run(spec(policy=many_programs(5)), tree_of({"1": "answer 8"}, "answer 7"))
    assert (result.answer, result.decided_by) == ("7", DecidedBy.MAJORITY)
    assert [(vote.answer, vote.nodes) for vote in result.votes] == [("7", ("2", "3", "4", "5")), ("8", ("1",))]


def test_siblings_and_generations_take_different_models() -> None:
    models = (ModelSpec("a"), ModelSpec("b"), ModelSpec("c"))
    result = run(spec(models=models, policy=TreePolicy(max_layers=2)), tree_of({}))
    chosen = {node.path: node.model for node in result.nodes}
    assert [chosen["1"], chosen["2"], chosen["3"]] == ["a", "b", "c"]
    assert [chosen["1.1"], chosen["1.2"], chosen["1.3"]] == ["b", "c", "a"]


def test_every_call_of_a_seeded_episode_has_its_own_seed() -> None:
    replies = tree_of({})
    run(spec(seed=11, policy=TreePolicy(max_layers=2)), replies)
    seeds = [call.seed for call in replies.calls]
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)


def test_an_unreachable_model_is_a_provider_error_not_a_failed_program() -> None:
    result = run(spec(), Replies(lambda *_: LLMError(LLMErrorKind.CONNECTION, "refused")))
    assert paths(result) == ["1", "2", "3"]
    assert result.stop_reason is StopReason.PROVIDER_ERROR
    assert result.nodes[0].error == "connection: refused"
    assert result.best_attempt is None


def test_an_executor_outage_is_not_a_failed_program() -> None:
    result = run(spec(), tree_of({}, "outage"))
    assert paths(result) == ["1", "2", "3"]
    assert result.stop_reason is StopReason.EXECUTOR_ERROR
    assert result.usage.programs == 0


def test_successes_decide_although_another_node_had_an_outage() -> None:
    result = run(spec(), tree_of({"2": "outage"}, "answer 7"))
    assert (result.answer, result.stop_reason) == ("7", StopReason.EXECUTOR_ERROR)


@pytest.mark.parametrize(
    ("limits", "stop", "nodes"),
    [
        (Limits(programs=4), StopReason.BUDGET_PROGRAMS, 4),
        (Limits(llm_calls=5), StopReason.BUDGET_LLM_CALLS, 5),
        (Limits(tokens=100), StopReason.BUDGET_TOKENS, 0),
        (Limits(money_usd=0.0), StopReason.BUDGET_MONEY_USD, 0),
    ],
)
def test_a_budget_stops_growth_with_its_name(limits: Limits, stop: StopReason, nodes: int) -> None:
    models = (ModelSpec("priced", Price(1.0, 2.0)),)
    result = run(spec(models=models, limits=limits), tree_of({}))
    assert (result.stop_reason, len(result.nodes)) == (stop, nodes)


def test_a_repair_turn_is_not_taken_from_a_sibling() -> None:
    replies = Replies(lambda *_: "No program here.")
    result = run(spec(policy=many_programs(3), limits=Limits(llm_calls=4)), replies)
    assert [node.turns for node in result.nodes] == [2, 1, 1]


def test_the_wall_clock_abandons_what_is_in_flight_and_votes_on_the_rest() -> None:
    class Stalling(Replies):
        async def complete(self, call: LLMCall) -> LLMReply:
            if call.key.path == "2":
                await asyncio.Event().wait()
            return await super().complete(call)

    replies = Stalling(lambda *_: written("answer 7"))
    result = run(spec(limits=Limits(wall_seconds=0.2)), replies)
    assert result.stop_reason is StopReason.BUDGET_WALL_SECONDS
    assert [node.status for node in result.nodes] == [NodeStatus.SUCCEEDED, NodeStatus.ABANDONED, NodeStatus.SUCCEEDED]
    assert result.answer == "7"
    assert result.usage.estimated, "an abandoned call may be billed"


def test_time_used_before_a_resume_counts() -> None:
    replies = tree_of({})
    episode = run_episode(
        spec(limits=Limits(wall_seconds=60)), llm=replies, executor=Lines(), elapsed_seconds=61, clock=lambda: 0.0
    )
    assert asyncio.run(episode).stop_reason is StopReason.BUDGET_WALL_SECONDS
    assert replies.calls == []


def test_concurrency_is_bounded() -> None:
    class Slow(Replies):
        async def complete(self, call: LLMCall) -> LLMReply:
            reply = await super().complete(call)
            await asyncio.sleep(0.001)
            return reply

    replies = Slow(lambda *_: written("answer 7"), random.Random(1))  # noqa: S311 - a reproducible schedule
    run(spec(policy=many_programs(32), concurrency=4), replies)
    assert 1 < replies.most_in_flight <= 4


def test_cancellation_propagates() -> None:
    async def cancelled() -> None:
        class Forever(Replies):
            async def complete(self, call: LLMCall) -> LLMReply:
                await asyncio.Event().wait()
                return await super().complete(call)

        task = asyncio.create_task(run_episode(spec(), llm=Forever(lambda *_: ""), executor=Lines()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_what_the_journal_raises_ends_the_episode_as_it_is() -> None:
    class LeaseLostError(Exception):
        pass

    class Fenced(MemoryJournal):
        async def record_reply(self, *_: object) -> None:
            raise LeaseLostError

    with pytest.raises(LeaseLostError):
        run(spec(), tree_of({}), Fenced())


def test_events_tell_the_episode_in_order() -> None:
    journal = MemoryJournal()
    run(spec(policy=TreePolicy(root_width=1, branching=1, max_layers=2)), tree_of({"1.1": "answer 7"}), journal)
    assert [event.type for event in journal.events.values()] == [
        EventType.EPISODE_STARTED,
        EventType.LAYER_STARTED,
        EventType.NODE_GENERATED,
        EventType.NODE_FINISHED,
        EventType.BUDGET_UPDATED,
        EventType.VOTE_UPDATED,
        EventType.LAYER_STARTED,
        EventType.NODE_GENERATED,
        EventType.NODE_FINISHED,
        EventType.BUDGET_UPDATED,
        EventType.VOTE_UPDATED,
        EventType.EPISODE_FINISHED,
    ]


def test_a_money_limit_needs_prices() -> None:
    with pytest.raises(ValueError, match=r"limits.money_usd can't be kept: no price is known for scripted"):
        spec(limits=Limits(money_usd=1.0))

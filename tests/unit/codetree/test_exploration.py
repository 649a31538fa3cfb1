"""Prompt, model and temperature exploration, each of which can be turned off; duplicates; quorum."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.episodes import Lines, Replies, spec, written

from codetree.engine import (
    EpisodeResult,
    EpisodeSpec,
    EventType,
    Exploration,
    Limits,
    LLMError,
    LLMErrorKind,
    MemoryJournal,
    ModelSpec,
    NodeStatus,
    Price,
    PromptPool,
    StopReason,
    TreePolicy,
    many_programs,
    run_episode,
)
from codetree.engine.exploration import SEED, weighted_turn
from codetree.engine.fingerprint import fingerprint


def run(of: EpisodeSpec, replies: Replies, journal: MemoryJournal | None = None) -> EpisodeResult:
    return asyncio.run(run_episode(of, llm=replies, executor=Lines(), journal=journal))


def exploring(**levers: object) -> TreePolicy:
    return many_programs(3, exploration=Exploration(**levers))  # type: ignore[arg-type]


def test_without_prompt_exploration_every_prompt_is_the_seed() -> None:
    result = run(spec(policy=exploring()), Replies(lambda *_: written("answer 7")))
    assert [variant.name for variant in result.prompts] == ["seed"]
    assert {node.prompt_variant for node in result.nodes} == {"seed"}


def test_builtin_variants_cost_no_call_and_reach_the_prompt() -> None:
    replies = Replies(lambda *_: written("answer 7"))
    result = run(spec(policy=exploring(prompts=PromptPool.BUILTIN)), replies)
    assert [node.prompt_variant for node in result.nodes] == ["seed", "inspect", "decompose"]
    assert result.usage.llm_calls == 3
    systems = {call.key.path: call.messages[0].content for call in replies.calls}
    for node, variant in zip(result.nodes, result.prompts, strict=True):
        assert variant.guidance in systems[node.path]


def test_prompts_evolve_from_the_seed_are_recorded_and_paid_for() -> None:
    def script(path: str, turn: int) -> str:
        return f"<prompt>Way {turn}.</prompt>" if path == "0" else written("answer 7")

    replies, journal = Replies(script), MemoryJournal()
    result = run(spec(policy=exploring(prompts=PromptPool.EVOLVED)), replies, journal)
    assert [(variant.name, variant.guidance) for variant in result.prompts[1:]] == [
        ("evolved-1", "Way 1."),
        ("evolved-2", "Way 2."),
    ]
    assert all(variant.evolved for variant in result.prompts[1:])
    assert SEED.guidance in replies.calls[0].messages[0].content
    assert result.usage.llm_calls == 2 + 3
    assert result.usage.tokens > sum(node.usage.tokens for node in result.nodes)
    ready = next(event for event in journal.events.values() if event.type is EventType.PROMPTS_READY)
    assert ready.data["prompts"] == {variant.name: variant.guidance for variant in result.prompts}
    again = Replies(script)
    assert run(spec(policy=exploring(prompts=PromptPool.EVOLVED)), again, journal) == result
    assert again.calls == [], "recorded variants are not paid for again"


@pytest.mark.parametrize("reply", ["I would rather not.", LLMError(LLMErrorKind.SERVER_ERROR, "down")])
def test_a_variant_that_can_not_be_evolved_is_a_fixed_one(reply: str | LLMError) -> None:
    replies = Replies(lambda path, _: reply if path == "0" else written("answer 7"))
    result = run(spec(policy=exploring(prompts=PromptPool.EVOLVED)), replies)
    assert [variant.evolved for variant in result.prompts] == [False, False, False]
    assert result.answer == "7"


def test_evolution_never_takes_a_programs_budget_to_zero_without_an_answer() -> None:
    priced = (ModelSpec("m", Price(1.0, 1.0)),)
    policy = exploring(prompts=PromptPool.EVOLVED)
    result = run(
        spec(policy=policy, models=priced, limits=Limits(llm_calls=1)), Replies(lambda *_: written("answer 7"))
    )
    assert result.usage.llm_calls == 1
    assert result.answer == "7"


def test_models_explore_by_weight_and_can_be_held_to_the_first() -> None:
    models = (ModelSpec("big", weight=1), ModelSpec("small", weight=3))
    replies = Replies(lambda *_: written("answer 7"))
    nodes = run(spec(models=models, policy=many_programs(8)), replies).nodes
    assert Counter(node.model for node in nodes) == {"big": 2, "small": 6}
    fixed = many_programs(8, exploration=Exploration(models=False))
    assert {node.model for node in run(spec(models=models, policy=fixed), replies).nodes} == {"big"}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_cycle_of_turns_serves_every_weight_exactly(weights: list[int]) -> None:
    served = Counter(weighted_turn(weights, turn) for turn in range(sum(weights)))
    assert [served[index] for index in range(len(weights))] == weights


def test_a_model_without_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="every weight must be above 0"):
        spec(models=(ModelSpec("m", weight=0.0),))


def test_the_temperature_follows_its_schedule() -> None:
    replies = Replies(lambda *_: written("crash Boom"))
    policy = TreePolicy(root_width=1, branching=1, max_layers=3, exploration=Exploration(temperatures=(0.0, 0.9)))
    nodes = run(spec(policy=policy), replies).nodes
    assert [node.temperature for node in nodes] == [0.0, 0.9, 0.9]
    assert [call.temperature for call in replies.calls] == [0.0, 0.9, 0.9]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("x = 1  # one\nfinal_answer(x)", '"""Doc."""\nx=1\n\nfinal_answer( x )', True),
        ("def f():\n    'doc'\n    return 1", "def f():\n    return 1", True),
        ("x = 1", "x = 2", False),
        ("x = '1'", "x = 1", False),
    ],
)
def test_programs_are_equal_by_their_syntax_tree(left: str, right: str, equal: bool) -> None:
    assert (fingerprint(left) == fingerprint(right)) is equal


@given(st.text())
def test_any_text_has_a_fingerprint_or_none(text: str) -> None:
    assert fingerprint(text) is None or len(fingerprint(text) or "") == 64


def test_an_equal_program_is_not_run_again_but_votes() -> None:
    executor = Lines()
    replies = Replies(lambda path, _: written(f"silent  # {path}"))
    policy = TreePolicy(root_width=3, max_layers=1)
    result = asyncio.run(run_episode(spec(policy=policy), llm=replies, executor=executor))
    assert sum(executor.counts.values()) == 1
    assert [node.duplicate_of for node in result.nodes] == [None, "1", "1"]
    assert [node.usage.programs for node in result.nodes] == [1, 0, 0]
    assert result.usage.programs == 1
    assert {node.status for node in result.nodes} == {NodeStatus.FAILED}


def test_duplicates_can_be_run_for_an_ablation() -> None:
    executor = Lines()
    policy = TreePolicy(max_layers=1, deduplicate=False)
    asyncio.run(run_episode(spec(policy=policy), llm=Replies(lambda *_: written("silent")), executor=executor))
    assert sum(executor.counts.values()) == 3


def test_a_tree_whose_failures_only_repeat_is_stuck() -> None:
    policy = TreePolicy(expand_duplicates=False)
    result = run(spec(policy=policy), Replies(lambda *_: written("silent")))
    assert [node.path for node in result.nodes] == ["1", "2", "3", "1.1", "1.2", "1.3"]
    assert result.stop_reason is StopReason.ALL_STUCK


def test_a_quorum_stops_growth_while_others_could_grow() -> None:
    replies = Replies(lambda path, _: written("crash Boom" if path == "3" else "answer 7"))
    result = run(spec(policy=TreePolicy(quorum=2)), replies)
    assert (len(result.nodes), result.answer, result.stop_reason) == (3, "7", StopReason.QUORUM)
    alone = run(spec(policy=TreePolicy(quorum=3)), replies)
    assert (len(alone.nodes), alone.stop_reason) == (6, StopReason.ALL_SUCCEEDED)


def test_a_quorum_among_nodes_that_all_stop_is_not_an_early_stop() -> None:
    result = run(spec(policy=TreePolicy(quorum=2)), Replies(lambda *_: written("answer 7")))
    assert result.stop_reason is StopReason.ALL_SUCCEEDED

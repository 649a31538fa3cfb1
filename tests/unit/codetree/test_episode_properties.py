"""What holds for every tree: its bounds, its budget, its determinism, and that a resumed episode is the same episode."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.episodes import Lines, Replies, by_chance, spec

from codetree.engine import (
    Exploration,
    Limits,
    MemoryJournal,
    ModelSpec,
    Price,
    PromptPool,
    TreePolicy,
    code_actions,
    run_episode,
)
from codetree.engine.tree import GROWING, NodeStatus

if TYPE_CHECKING:
    from codetree.engine import CallKey, EpisodeResult, EpisodeSpec

SEEDS = st.integers(0, 10_000)
POLICIES = st.builds(
    TreePolicy, root_width=st.integers(1, 3), branching=st.integers(1, 3), max_layers=st.integers(1, 3)
)
RICH = st.builds(
    TreePolicy,
    root_width=st.integers(1, 3),
    branching=st.integers(1, 3),
    max_layers=st.integers(1, 3),
    quorum=st.none() | st.integers(1, 4),
    expand_duplicates=st.booleans(),
    exploration=st.builds(Exploration, prompts=st.sampled_from(PromptPool), prompt_count=st.integers(1, 4)),
) | st.builds(code_actions, st.integers(1, 4))
LIMITS = st.builds(
    Limits,
    money_usd=st.none() | st.floats(0, 0.2),
    tokens=st.none() | st.integers(1, 150_000),
    llm_calls=st.none() | st.integers(1, 20),
    programs=st.none() | st.integers(1, 20),
)
PRICED = (ModelSpec("cheap", Price(0.5, 1.5)), ModelSpec("dear", Price(3.0, 15.0)))


async def grown(
    of: EpisodeSpec, seed: int, journal: Any = None, schedule: random.Random | None = None
) -> EpisodeResult:
    return await run_episode(of, llm=Replies(by_chance(seed), schedule), executor=Lines(schedule), journal=journal)


@given(SEEDS, POLICIES)
def test_a_tree_keeps_its_shape(seed: int, policy: TreePolicy) -> None:
    result = asyncio.run(grown(spec(policy=policy), seed))
    nodes = {node.path: node for node in result.nodes}
    assert len([node for node in result.nodes if node.parent is None]) == policy.root_width
    assert len(nodes) <= policy.max_programs
    for node in result.nodes:
        assert node.layer <= policy.max_layers
        children = [child for child in result.nodes if child.parent == node.path]
        grows = node.status in GROWING and node.layer < policy.max_layers
        assert len(children) == (policy.branching if grows else 0)


@given(SEEDS, POLICIES)
def test_the_vote_counts_every_success_once(seed: int, policy: TreePolicy) -> None:
    result = asyncio.run(grown(spec(policy=policy), seed))
    voters = [path for vote in result.votes for path in vote.nodes]
    assert sorted(voters) == sorted(node.path for node in result.nodes if node.status is NodeStatus.SUCCEEDED)
    assert all(result.votes[0].count >= vote.count for vote in result.votes)
    assert result.succeeded == bool(voters)


@given(SEEDS, RICH, LIMITS)
def test_no_budget_is_ever_exceeded(seed: int, policy: TreePolicy, limits: Limits) -> None:
    usage = asyncio.run(grown(spec(policy=policy, limits=limits, models=PRICED), seed)).usage
    assert usage.money_usd is not None
    assert limits.money_usd is None or usage.money_usd <= limits.money_usd + 1e-12
    assert limits.tokens is None or usage.tokens <= limits.tokens
    assert limits.llm_calls is None or usage.llm_calls <= limits.llm_calls
    assert limits.programs is None or usage.programs <= limits.programs


@given(SEEDS, RICH, LIMITS, st.integers(0, 1_000_000), st.integers(1, 9))
def test_the_result_does_not_depend_on_who_answers_first(
    seed: int, policy: TreePolicy, limits: Limits, schedule: int, concurrency: int
) -> None:
    one = spec(policy=policy, limits=limits, models=PRICED, concurrency=1)
    many = spec(policy=policy, limits=limits, models=PRICED, concurrency=concurrency)
    assert asyncio.run(grown(one, seed)) == asyncio.run(grown(many, seed, schedule=random.Random(schedule)))  # noqa: S311 - reproducible


class WorkerKilled(BaseException):
    """Stands for SIGKILL: nothing in the engine may catch it."""


class Mortal(MemoryJournal):
    """Dies at its n-th write, just before or just after it is stored; counts what is asked for although it was stored."""

    def __init__(self, at: int, *, before: bool) -> None:
        super().__init__()
        self._left = at
        self._before = before

    def live_on(self) -> None:
        self._left = -1

    def _die(self, *, before: bool) -> None:
        if before == self._before:
            self._left -= 1
            if self._left == 0:
                raise WorkerKilled

    async def record_reply(self, key: CallKey, reply: Any, cost: Any) -> None:
        assert key not in self.replies, "paid twice"
        self._die(before=True)
        await super().record_reply(key, reply, cost)
        self._die(before=False)

    async def record_execution(self, key: CallKey, execution: Any) -> None:
        assert key not in self.executions, "run twice"
        self._die(before=True)
        await super().record_execution(key, execution)
        self._die(before=False)

    async def node_changed(self, node: Any) -> None:
        self._die(before=True)
        await super().node_changed(node)
        self._die(before=False)

    async def emit(self, event: Any) -> None:
        self._die(before=True)
        await super().emit(event)
        self._die(before=False)


async def killed_then_resumed(of: EpisodeSpec, seed: int, journal: Mortal) -> EpisodeResult:
    with pytest.raises(WorkerKilled):
        await grown(of, seed, journal)
    journal.live_on()
    paid = set(journal.replies)
    replies = Replies(by_chance(seed))
    result = await run_episode(of, llm=replies, executor=Lines(), journal=journal)
    assert paid.isdisjoint(replies.counts), "a stored reply was asked for again"
    return result


class Counting(Mortal):
    """Never dies; says how many writes an episode makes."""

    writes = 0

    def _die(self, *, before: bool) -> None:
        self.writes += before


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("seed", [8, 26])
def test_killed_anywhere_a_resumed_episode_is_the_same_episode(seed: int, before: bool) -> None:
    of = spec(policy=TreePolicy(branching=2), limits=Limits(llm_calls=25, tokens=400_000), models=PRICED)
    whole = Counting(0, before=True)
    expected = asyncio.run(grown(of, seed, whole))
    assert len(expected.nodes) > 10
    for at in range(1, whole.writes + 1):
        journal = Mortal(at, before=before)
        assert asyncio.run(killed_then_resumed(of, seed, journal)) == expected, f"killed at write {at}"
        assert journal.nodes == whole.nodes
        assert journal.events == whole.events


@settings(max_examples=60)
@given(SEEDS, RICH, st.lists(st.integers(1, 30), max_size=4), st.booleans())
def test_killed_again_and_again(seed: int, policy: TreePolicy, deaths: list[int], before: bool) -> None:
    of = spec(policy=policy)
    expected = asyncio.run(grown(of, seed))
    journal = Mortal(-1, before=before)
    for at in deaths:
        journal._left = at
        try:
            asyncio.run(grown(of, seed, journal))
        except WorkerKilled:
            continue
    journal.live_on()
    assert asyncio.run(grown(of, seed, journal)) == expected


@given(SEEDS)
def test_no_status_ever_goes_back(seed: int) -> None:
    rank = {NodeStatus.QUEUED: 0, NodeStatus.GENERATED: 1}

    class Watching(MemoryJournal):
        async def node_changed(self, node: Any) -> None:
            known = self.nodes.get(node.path)
            assert known is None or rank.get(node.status, 2) >= rank.get(known.status, 2)
            await super().node_changed(node)

    async def twice() -> None:
        journal = Watching()
        outages = await grown(spec(), seed, journal)
        if all(node.status not in {NodeStatus.MODEL_ERROR, NodeStatus.EXECUTOR_ERROR} for node in outages.nodes):
            await grown(spec(), seed, journal)

    asyncio.run(twice())

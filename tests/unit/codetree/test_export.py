"""Training data from a finished episode: every format, every label source, splits by task, and the manifest."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.episodes import Lines, Replies, spec, written

from codetree.engine import Exploration, MemoryJournal, PromptPool, TreePolicy, run_episode
from codetree.export import ExportKind, Filters, Finished, LabelSource, Split, records
from codetree.export.filters import split_of
from codetree.export.stream import lines, manifest
from codetree.schemas import SolveRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

FATES = {"1": "crash KeyError", "2": "answer 7", "3": "answer 8", "1.1": "answer 7", "1.2": "crash Other"}
POLICY = TreePolicy(branching=2, max_layers=2, exploration=Exploration(prompts=PromptPool.BUILTIN))


def finished(job_id: str = "job", task: str = "What is it?", **labels: str) -> Finished:
    journal, replies = MemoryJournal(), Replies(lambda path, _: written(FATES[path]))
    result = asyncio.run(run_episode(spec(policy=POLICY), llm=replies, executor=Lines(), journal=journal))
    policy = {"kind": "tree", "branching": 2, "max_layers": 2, "exploration": {"prompts": "builtin"}}
    request = SolveRequest.model_validate({"task": task, "labels": labels, "policy": policy})
    recorded = {(key.path, key.turn): reply for key, reply in journal.replies.items()}
    return Finished(job_id, request, result, recorded)


def exported(kind: str, episode: Finished | None = None, **filters: Any) -> list[dict[str, Any]]:
    chosen = Filters(**{"deduplicate": False, **filters})
    return list(records(ExportKind(kind), episode or finished(), chosen, set()))


def nodes_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["metadata"]["node"] for row in rows]


def test_sft_holds_what_was_told_and_what_was_replied() -> None:
    rows = exported("sft")
    assert nodes_of(rows) == ["2", "3", "1.1"]
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]
    assert rows[0]["messages"][-1]["content"] == written("answer 7")
    assert "KeyError" in rows[2]["messages"][1]["content"], "the child was told its parent's failure"


def test_the_prompts_are_those_that_were_sent() -> None:
    replies = Replies(lambda path, _: written(FATES[path]))
    asyncio.run(run_episode(spec(policy=POLICY), llm=replies, executor=Lines()))
    sent = {call.key.path: call.messages for call in replies.calls}
    episode = finished()
    assert {path: episode.prompt(node) for path, node in episode.nodes.items()} == sent


@pytest.mark.parametrize(
    ("source", "gold", "good"),
    [("executed", None, ["2", "3", "1.1"]), ("majority", None, ["2", "1.1"]), ("gold", "8", ["3"]), ("gold", None, [])],
)
def test_the_label_source_decides_what_is_good(source: str, gold: str | None, good: list[str]) -> None:
    episode = finished(**({"gold": gold} if gold else {}))
    rows = exported("sft", episode, label_source=source)
    assert nodes_of(rows) == good
    assert {row["metadata"]["label_source"] for row in rows} <= {source}


def test_unverified_replies_are_exported_when_asked_for() -> None:
    assert nodes_of(exported("sft", verified=False)) == ["1", "2", "3", "1.1", "1.2"]


def test_preferences_pair_siblings_first_and_keep_prompts_that_differ() -> None:
    rows = exported("preference")
    pairs = [(row["metadata"]["chosen"]["node"], row["metadata"]["rejected"]["node"]) for row in rows]
    assert pairs == [("2", "1"), ("3", "1.2")]
    assert all(row["chosen"] != row["rejected"] for row in rows)
    differing = rows[1]["metadata"]
    assert differing["same_prompt"] is False
    assert differing["chosen_prompt"] != differing["rejected_prompt"]


def test_kto_labels_every_reply() -> None:
    labels = {row["metadata"]["node"]: row["label"] for row in exported("kto")}
    assert labels == {"1": False, "2": True, "3": True, "1.1": True, "1.2": False}


def test_rollouts_have_parts_of_reward_and_a_group() -> None:
    rows = {row["metadata"]["node"]: row for row in exported("rl", finished(gold="8"), label_source="gold")}
    assert rows["2"]["reward_parts"] == {"executed": 1.0, "vote_share": pytest.approx(2 / 3), "gold": 0.0}
    assert (rows["3"]["reward"], rows["1"]["reward"]) == (1.0, 0.0)
    assert len({row["group_id"] for row in rows.values()}) == 1
    assert rows["1"]["logprobs"] is None


def test_a_trajectory_is_a_path_from_the_root() -> None:
    rows = {row["session_id"]: row for row in exported("atif")}
    path = rows["job/1.1"]
    assert path["schema_version"] == "ATIF-v1.7"
    assert [step["step_id"] for step in path["steps"]] == [1, 2, 3, 4]
    assert [step["source"] for step in path["steps"]] == ["system", "user", "agent", "agent"]
    assert path["steps"][2]["tool_calls"][0]["tool_call_id"] == "execute-1"
    assert "KeyError" in path["steps"][2]["observation"]["results"][0]["content"]
    assert path["final_metrics"]["total_steps"] == 4


def test_a_program_is_exported_once_for_a_task() -> None:
    seen: set[tuple[str, str]] = set()
    first = list(records(ExportKind.SFT, finished("a"), Filters(), seen))
    again = list(records(ExportKind.SFT, finished("b"), Filters(), seen))
    other = list(records(ExportKind.SFT, finished("c", task="Another?"), Filters(), seen))
    assert (nodes_of(first), again, nodes_of(other)) == (["2", "3"], [], ["2", "3"])


def test_long_replies_can_be_left_out() -> None:
    episode = finished()
    limit = min(node.usage.tokens for node in episode.result.nodes)
    assert len(exported("kto", episode, max_tokens=limit)) == 1


@given(st.text(min_size=1), st.floats(0.0, 0.5))
def test_a_task_is_in_one_split_whatever_else_there_is(group: str, held_out: float) -> None:
    assert split_of(group, held_out) is split_of(group, held_out)
    assert split_of(group, 0.0) is Split.TRAIN


def test_splits_part_the_episodes() -> None:
    episodes = [finished(f"{number}", task=f"Task {number}") for number in range(40)]
    taken = {split: {e.job_id for e in episodes if Filters(split=split, held_out=0.25).takes(e)} for split in Split}
    assert sum(map(len, taken.values())) == 40
    assert set.union(*taken.values()) == {episode.job_id for episode in episodes}
    assert all(len(part) >= 3 for part in taken.values())


async def test_the_manifest_describes_exactly_what_is_streamed() -> None:
    episode = await asyncio.to_thread(finished)

    async def pages() -> AsyncIterator[Sequence[Finished]]:
        yield [episode]

    streamed = b"".join([line async for line in lines(ExportKind.RL, pages(), Filters())])
    described = await manifest(ExportKind.RL, pages(), Filters())
    assert described["sha256"] == hashlib.sha256(streamed).hexdigest()
    assert (described["records"], described["bytes"]) == (streamed.count(b"\n"), len(streamed))
    assert described["filters"]["label_source"] == LabelSource.EXECUTED
    assert all(json.loads(line) for line in streamed.splitlines())

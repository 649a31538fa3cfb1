from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.support.episodes import Lines, Replies, by_chance, spec

from codetree.codec import (
    dump_execution,
    dump_failure,
    dump_node,
    dump_reply,
    dump_result,
    load_execution,
    load_failure,
    load_node,
    load_reply,
    load_result,
)
from codetree.engine import EpisodeResult, LLMFailure, LLMReply, MemoryJournal, run_episode
from codetree.schemas import SolveRequest, SolveResult


def errors_of(body: dict[str, Any]) -> list[tuple[str, str, Any]]:
    with pytest.raises(ValidationError) as caught:
        SolveRequest.model_validate(body)
    return [
        (".".join(map(str, item["loc"])), item["msg"], (item.get("ctx") or {}).get("remedy"))
        for item in caught.value.errors()
    ]


def test_a_task_is_enough() -> None:
    request = SolveRequest.model_validate({"task": "What is 6 * 7?"})
    policy = request.policy.to_policy()
    assert (policy.kind, policy.root_width, policy.branching, policy.max_layers) == ("tree", 3, 3, 3)
    assert request.models == []


@pytest.mark.parametrize(
    ("policy", "programs"),
    [
        ({"kind": "program"}, 1),
        ({"kind": "programs", "count": 7}, 7),
        ({"kind": "tree", "root_width": 2, "branching": 2, "max_layers": 2}, 6),
    ],
)
def test_policies(policy: dict[str, Any], programs: int) -> None:
    request = SolveRequest.model_validate({"task": "t", "policy": {**policy, "temperature": None}})
    made = request.policy.to_policy()
    assert (made.kind, made.max_programs, made.temperature) == (policy["kind"], programs, None)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"task": ""}, "task", "at least 1 character"),
        ({"task": 7}, "task", "valid string"),
        ({"task": "a\0b"}, "task", "NUL"),
        ({"task": "x" * 40_000}, "task", "at most 32768"),
        ({"limit": {}}, "limit", "not permitted"),
        ({"limits": {"tokens": -1}}, "limits.tokens", "greater than or equal to 1"),
        ({"limits": {"tokens": True}}, "limits.tokens", "valid integer"),
        ({"limits": {"tokens": "9"}}, "limits.tokens", "valid integer"),
        ({"limits": {"money_usd": float("nan")}}, "limits.money_usd", "finite number"),
        ({"limits": {"seconds": 1}}, "limits.seconds", "not permitted"),
        ({"policy": {"kind": "mcts"}}, "policy", "'tree', 'program', 'programs', 'codeact'"),
        ({"policy": {"kind": "programs"}}, "policy.programs.count", "required"),
        ({"policy": {"kind": "tree", "root_width": 0}}, "policy.tree.root_width", "greater than or equal to 1"),
        (
            {"policy": {"kind": "tree", "branching": 8, "max_layers": 6}},
            "policy.tree",
            "112347 programs, more than 512",
        ),
        ({"models": [""]}, "models.0.name", "at least 1 character"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"answer_format": {"type": "float"}}, "answer_format.type", "'number'"),
        ({"labels": {"team": 3}}, "labels.team", "valid string"),
        ({"tools": [{"name": "t", "description": "", "url": "http://x"}]}, "tools.0.http.parameters", "required"),
        (
            {"tools": [{"name": "t-1", "description": "", "source": "def f(): ..."}]},
            "tools.0.python.name",
            "match pattern",
        ),
        (
            {"tools": [{"name": "t", "description": "", "source": "def f(:"}]},
            "tools.0.python.source",
            "line 1: invalid syntax",
        ),
        ({"tools": [{"name": "t", "description": "", "source": "def f(): ..."}] * 2}, "tools", "name t is used twice"),
    ],
)
def test_bad_requests_name_the_field(change: dict[str, Any], field: str, message: str) -> None:
    errors = errors_of({"task": "t", **change})
    assert field in [name for name, _, _ in errors]
    assert any(name == field and message in said for name, said, _ in errors), errors


def test_our_own_rules_name_a_remedy() -> None:
    body = {"task": "t", "policy": {"kind": "tree", "branching": 8, "max_layers": 6}}
    assert errors_of(body)[0][2] == "lower max_layers or branching"


def episode() -> tuple[EpisodeResult, MemoryJournal]:
    journal = MemoryJournal()
    return asyncio.run(run_episode(spec(), llm=Replies(by_chance(8)), executor=Lines(), journal=journal)), journal


def test_a_result_is_shown_whole() -> None:
    result, _ = episode()
    shown = json.loads(SolveResult.from_episode(result).model_dump_json())
    assert {"answer", "decided_by", "votes", "stop_reason", "usage", "tree"} <= shown.keys()
    assert [node["path"] for node in shown["tree"]["nodes"]] == [node.path for node in result.nodes]
    child = next(node for node in shown["tree"]["nodes"] if node["layer"] == 2)
    assert child["parent"] == child["path"].rpartition(".")[0]
    assert shown["usage"]["tokens"] == result.usage.tokens


def _through_storage(reply: LLMReply | LLMFailure, stored: Callable[[dict[str, Any]], dict[str, Any]]) -> object:
    if isinstance(reply, LLMFailure):
        return load_failure(stored(dump_failure(reply)))
    return load_reply(stored(dump_reply(reply)))


def test_everything_stored_comes_back_equal() -> None:
    result, journal = episode()
    through = TypeAdapter(dict[str, Any])

    def stored(document: dict[str, Any]) -> dict[str, Any]:
        return through.validate_json(json.dumps(document, allow_nan=False))

    assert load_result(stored(dump_result(result))) == result
    assert [load_node(stored(dump_node(node))) for node in result.nodes] == list(result.nodes)
    for reply in journal.replies.values():
        assert _through_storage(reply, stored) == reply
    executions = {key: load_execution(stored(dump_execution(each))) for key, each in journal.executions.items()}
    assert executions == journal.executions


def test_builtin_tools_are_named_and_their_settings_checked() -> None:
    request = SolveRequest.model_validate({"task": "x", "tools": [{"builtin": "llm"}, {"builtin": "planner"}]})
    functions = [function.name for tool in request.tools for function in tool.to_tool().hosted]
    assert functions == ["ask_llm", "plan", "estimate", "catalog"]
    assert SolveRequest.model_validate_json(request.model_dump_json()) == request
    ((field, message, remedy),) = errors_of({"task": "x", "tools": [{"builtin": "shell"}]})
    assert (field, message) == ("tools.0", "`builtin` must be `llm` or `planner`")
    assert remedy
    ((field, *_),) = errors_of({"task": "x", "tools": [{"builtin": "llm", "max_output_tokens": 0}]})
    assert field == "tools.0.llm.max_output_tokens"
    twice = errors_of({"task": "x", "tools": [{"builtin": "llm"}, {"builtin": "llm"}]})
    assert "used twice" in twice[0][1]


def test_a_builtin_that_is_no_text_is_refused_like_an_unknown_one() -> None:
    with pytest.raises(ValidationError, match="`builtin` must be `llm` or `planner`"):
        SolveRequest.model_validate({"task": "x", "tools": [{"builtin": {}}]})

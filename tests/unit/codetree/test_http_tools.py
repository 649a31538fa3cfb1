"""HTTP tools: which URLs they may have, and what a program sees of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.episodes import Lines, Replies, spec, written

from codetree.engine import CallKey, Program, TreePolicy, run_episode
from codetree.engine.values import Endpoint
from codetree.sandbox_wire import execution_request
from codetree.schemas import SolveRequest
from codetree.tools.http import ToolUrlError, check_url, http_tool

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["query"],
}
ALLOWED = ["https://search.example", "http://tools.example:8080"]


@pytest.mark.parametrize(
    "url", ["https://search.example/find?x=1", "https://SEARCH.example:443/", "http://tools.example:8080/a"]
)
def test_an_allowed_origin_is_called(url: str) -> None:
    check_url(url, ALLOWED, allow_loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://search.example.evil.org/",
        "https://search.example@evil.org/",
        "https://user:password@search.example/",
        "http://search.example/",
        "https://search.example:444/",
        "http://tools.example/",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9/",
        "http://[::1]/",
        "http://2130706433/",
        "file:///etc/passwd",
        "gopher://search.example/",
        "//search.example/",
        "https://[search.example/",
        "",
    ],
)
def test_any_other_origin_is_refused(url: str) -> None:
    with pytest.raises(ToolUrlError):
        check_url(url, ALLOWED, allow_loopback=False)


def test_loopback_is_called_only_when_it_is_allowed() -> None:
    check_url("http://127.0.0.1:9/x", [], allow_loopback=True)
    with pytest.raises(ToolUrlError, match="allowed are: none"):
        check_url("http://10.0.0.1/", [], allow_loopback=True)


def test_a_program_sees_a_function_with_a_signature() -> None:
    tool = http_tool("search", "Finds.", Endpoint("https://search.example", SCHEMA))
    assert tool.functions[0].signature == "def search(query: str, limit: int | None = None)"
    prompt = Replies(lambda *_: written("answer 7"))
    asyncio.run(run_episode(spec(tools=(tool,)), llm=prompt, executor=Lines()))
    assert "def search(query: str" in prompt.calls[0].messages[0].content
    assert "search.example" not in str(prompt.calls[0].messages), "where a tool is called is not the model's concern"


def test_the_sandbox_is_told_where_to_call() -> None:
    tool = http_tool("search", "Finds.", Endpoint("https://search.example", SCHEMA, 5.0, 3))
    request = execution_request(Program(CallKey("1", 1), "search('x')", (tool,)))
    assert request["tools"] == [
        {
            "name": "search",
            "description": "Finds.",
            "url": "https://search.example",
            "parameters": SCHEMA,
            "timeout_seconds": 5.0,
            "max_calls": 3,
        }
    ]
    assert request["files"] == []


def test_programs_that_call_the_host_are_run_again_although_they_are_equal() -> None:
    tool, executor = http_tool("search", "Finds.", Endpoint("https://search.example", SCHEMA)), Lines()
    of = spec(tools=(tool,), policy=TreePolicy(max_layers=1))
    asyncio.run(run_episode(of, llm=Replies(lambda *_: written("silent")), executor=executor))
    assert sum(executor.counts.values()) == 3


def test_parameters_must_be_names_that_python_has() -> None:
    tool = {"name": "t", "description": "", "url": "http://x", "parameters": {"properties": {"a b": {}}}}
    with pytest.raises(ValidationError, match="a b is not"):
        SolveRequest.model_validate({"task": "t", "tools": [tool]})

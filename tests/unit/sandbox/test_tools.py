from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support.scripted_http import Answer, ScriptedServer

from sandbox.service import _is_at
from sandbox.tools import MAX_MESSAGE_BYTES, Connection, ToolBroker, ToolSpec, tool_client

if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH = ToolSpec("search", "http://tools.test/search", {"Authorization": "Bearer t"}, ("query",), "", 1.0, 2)


def broker(answer: Callable[[httpx.Request], httpx.Response], spec: ToolSpec = SEARCH) -> ToolBroker:
    return ToolBroker([spec], httpx.AsyncClient(transport=httpx.MockTransport(answer)), "run-1")


async def test_a_call_reaches_the_endpoint_with_its_headers_and_comes_back() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"result": [1, None]})

    tools = broker(answer)
    assert await tools.answer({"call": 1, "name": "search", "arguments": {"query": "x"}}) == {"result": [1, None]}
    assert asked[0].headers["authorization"] == "Bearer t"
    assert json.loads(asked[0].content) == {
        "name": "search",
        "arguments": {"query": "x"},
        "execution": "run-1",
        "call": 1,
    }
    assert [(call.name, call.error) for call in tools.calls] == [("search", None)]


async def test_no_call_meets_a_connection_that_its_server_is_closing() -> None:
    """Sending it again is no remedy: the tool may have done by then what it does."""
    with ScriptedServer(lambda _: Answer.json({"result": 1}), closes_idle=True) as server:
        spec = replace(SEARCH, url=server.url)
        async with tool_client() as client:
            tools = ToolBroker([spec], client)
            replies = [await tools.answer({"call": n, "name": "search", "arguments": {}}) for n in range(2)]
    assert replies == [{"result": 1}, {"result": 1}]
    assert (server.count(), server.hung_up) == (2, 0)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(500), "HTTP 500"),
        (httpx.Response(302, headers={"location": "http://elsewhere.test"}), "HTTP 302"),
        (httpx.Response(200, text="no"), "not JSON"),
        (httpx.Response(200, text="[" * 50_000), "not JSON"),
        (httpx.Response(200, json=[1]), "neither a result nor an error"),
        (httpx.Response(200, json={"other": 1}), "neither a result nor an error"),
        (httpx.Response(200, json={"error": "no such page"}), "no such page"),
        (httpx.Response(200, content=b"x" * (MAX_MESSAGE_BYTES + 1)), "more than"),
        (httpx.Response(200, text='{"result": ' + "[" * 70 + "]" * 70 + "}"), "nested"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_failure_is_told(response: httpx.Response, said: str) -> None:
    reply = await broker(lambda _: response).answer({"call": 1, "name": "search", "arguments": {}})
    assert said in reply["error"]


@pytest.mark.parametrize(
    "message",
    [
        {"call": 1},
        {"call": 1, "name": "other", "arguments": {}},
        {"call": 1, "name": ["x"]},
        {"call": 1, "name": "\ud800"},
    ],
)
async def test_what_is_not_listed_is_refused_without_a_request(message: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"asked {request.url}")

    tools = broker(answer)
    assert "no such tool" in (await tools.answer(message))["error"]
    tools.calls[0].name.encode()


async def test_calls_are_counted() -> None:
    tools = broker(lambda _: httpx.Response(200, json={"result": 1}))
    replies = [await tools.answer({"call": n, "name": "search", "arguments": {}}) for n in range(3)]
    assert ["error" in reply for reply in replies] == [False, False, True]


async def test_no_tools_no_calls() -> None:
    assert "no such tool" in (await ToolBroker.none().answer({"call": 1, "name": "search", "arguments": {}}))["error"]


@pytest.mark.parametrize(
    "written",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02[]",
        b"\0\0\0\x01{",
        b"\0\0\0\x09",
        (100_000).to_bytes(4, "big") + b"[" * 100_000,
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(written: bytes) -> None:
    service, program = socket.socketpair()
    with service, program:
        service.setblocking(False)  # noqa: FBT003
        program.sendall(written)
        program.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(5):
            assert await Connection(service).receive() is None


@pytest.mark.parametrize(
    ("url", "origin", "allowed"),
    [
        ("http://127.0.0.1:9/x", "http://127.0.0.1", True),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9", True),
        ("http://127.0.0.1:10/x", "http://127.0.0.1:9", False),
        ("https://127.0.0.1:9/x", "http://127.0.0.1:9", False),
        ("http://127.0.0.1.evil.test/x", "http://127.0.0.1", False),
        ("http://127.0.0.1@evil.test/x", "http://127.0.0.1", False),
        ("http://user:pw@127.0.0.1/x", "http://127.0.0.1", False),
        ("http://127.0.0.1:81/x", "http://127.0.0.1:80", False),
        ("http://[::1]:5/x", "http://[::1]", True),
        ("http://", "http://127.0.0.1", False),
        ("http://tools:9100/a", "http://tools:9100/", True),
        ("http://10.1.2.3:8004/tools", "http://*:8004", True),
        ("http://10.1.2.3:8003/tools", "http://*:8004", False),
        ("https://10.1.2.3:8004/tools", "http://*:8004", False),
    ],
)
def test_origins(url: str, origin: str, *, allowed: bool) -> None:
    assert _is_at(url, origin) is allowed

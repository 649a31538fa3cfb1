from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from fastapi import FastAPI

from codetree.engine import ToolFailedError
from codetree.gateway import Gateway
from kit.web import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue


class Adds:
    async def call(self, name: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        if name != "add":
            raise ToolFailedError("there is no such tool")
        return [arguments["a"], arguments["b"]]


async def post(gateway: Gateway, token: str | None, name: str = "add") -> httpx.Response:
    app = FastAPI()
    app.include_router(gateway.router)
    problems.install(app)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"name": name, "arguments": {"a": 1, "b": 2}, "execution": "e", "call": 1}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client:
        return await client.post("/tools", json=body, headers=headers)


async def test_a_run_is_called_with_its_own_token_while_it_lasts() -> None:
    gateway = Gateway("http://worker:8004/")
    with gateway.opened(Adds()) as door, gateway.opened(Adds()) as other:
        assert door.url == "http://worker:8004/tools"
        assert door.token != other.token
        assert (await post(gateway, door.token)).json() == {"result": [1, 2]}
        assert (await post(gateway, door.token, "subtract")).json() == {"error": "there is no such tool"}
    assert (await post(gateway, door.token)).status_code == 401


async def test_nobody_else_is_let_in() -> None:
    gateway = Gateway("http://worker:8004")
    with gateway.opened(Adds()) as door:
        for token in (None, "", "x", door.token[:-1]):
            answer = await post(gateway, token)
            assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
            assert door.token not in answer.text

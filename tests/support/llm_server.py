"""An OpenAI-compatible model server for tests: real HTTP, replies scripted by node path and turn, requests counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.scripted_http import Answer, Asked, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NODE_HEADER = "X-Astrolabe-Node"
TURN_HEADER = "X-Astrolabe-Turn"


def completion(text: str | None, *, usage: bool = True, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    document: dict[str, Any] = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "model": "scripted",
        "choices": [
            {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
        ],
    }
    if usage:
        document["usage"] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return document


def says(text: str) -> Answer:
    """A successful reply."""
    return Answer.json(completion(text))


def program(code: str, thought: str = "a plan") -> str:
    """A well-formed reply with this program."""
    return f"<thought>{thought}</thought>\n<execute>\n{code}\n</execute>"


def node_of(asked: Asked) -> tuple[str, int]:
    """Path and turn of the node that asks."""
    return asked.headers[NODE_HEADER], int(asked.headers[TURN_HEADER])


def llm_server(script: Callable[[Asked], Answer]) -> ScriptedServer:
    """A server whose base URL for clients is ``server.url + "/v1"``, counting requests under ``path/turn``."""

    def key_of(headers: Mapping[str, str]) -> str:
        return f"{headers.get(NODE_HEADER)}/{headers.get(TURN_HEADER)}"

    return ScriptedServer(script, key_of)

"""Others' software: the official OpenAI client against our simulated model, and our client against another's server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import openai
import pytest

from codetree.engine import CallKey, LLMCall, LLMError, LLMErrorKind, Message
from codetree.engine.parsing import parse_reply
from codetree.evaluate.suite import load_suite
from codetree.llm import OpenAICompatible
from codetree.llm.registry import Capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 30.0
TASK = load_suite("m3tooleval").tasks[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(command: list[str], port: int) -> Iterator[str]:
    """A server in a process of its own, from when it accepts connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail(f"{command[0]} did not start")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "codetree", "simulate", "--port", str(port), "--suite", "m3tooleval"]
    with served(command, port) as url:
        yield url


@pytest.fixture
def client(simulated: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=simulated, api_key="any", max_retries=0) as client:
        yield client


PROMPT = [{"role": "user", "content": f"Task:\n{TASK.task}"}]


def test_the_openai_client_gets_a_program(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="simulated-strong", messages=PROMPT, seed=1, max_tokens=500)  # type: ignore[call-overload]
    assert parse_reply(reply.choices[0].message.content).code
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


def test_the_openai_client_streams_the_same_reply(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="simulated-strong", messages=PROMPT, seed=1)  # type: ignore[call-overload]
    stream = client.chat.completions.create(  # type: ignore[call-overload]
        model="simulated-strong", messages=PROMPT, seed=1, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_the_openai_client_lists_the_models_and_is_refused_others(client: openai.OpenAI) -> None:
    assert "simulated-weak" in {model.id for model in client.models.list()}
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-x", messages=PROMPT)  # type: ignore[call-overload]


CALL = LLMCall(CallKey("1", 1), "gpt-4o", (Message("user", "Please greet the world."),), 64, 0.5, 7)
REPLY = "<thought>\nGreet.\n</thought>\n<execute>\nfinal_answer('hello world')\n</execute>"


@pytest.fixture(scope="module")
def stubllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another project's OpenAI-compatible server, with one reply."""
    port, folder = free_port(), tmp_path_factory.mktemp("stubllm")
    match = {"messages": [{"role": "user", "content": {"contains": "greet the world"}}]}
    fixture = {"name": "greeting", "match": match, "response": {"content": REPLY}}
    (folder / "greeting.json").write_text(json.dumps({"fixtures": [fixture]}))
    command = [str(Path(sys.executable).parent / "stubllm"), "serve", "--port", str(port), "--fixture-dir", str(folder)]
    with served(command, port) as url:
        yield url


@pytest.mark.parametrize("stream", [False, True])
async def test_our_client_gets_a_program_from_anothers_server(stubllm: str, stream: bool) -> None:
    async with OpenAICompatible(stubllm) as client:
        reply = await client.complete(CALL, Capabilities(stream=stream))
    assert parse_reply(reply.text).code == "final_answer('hello world')"
    assert reply.usage.total > 0
    assert reply.parameters == {
        "model": "gpt-4o", "max_tokens": 64, "temperature": 0.5, "seed": 7, "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }  # fmt: skip


async def test_our_client_understands_anothers_refusal(stubllm: str) -> None:
    asked = LLMCall(CallKey("1", 1), "gpt-4o", (Message("user", "Something nobody prepared."),), 64)
    async with OpenAICompatible(stubllm, max_attempts=1) as client:
        try:
            reply = await client.complete(asked)
        except LLMError as error:
            assert error.kind in {LLMErrorKind.BAD_REQUEST, LLMErrorKind.SERVER_ERROR}  # noqa: PT017
        else:
            assert "hello world" not in reply.text

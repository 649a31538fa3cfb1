"""The model client against a real HTTP server that does what endpoints do, faults included."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.support.llm_server import completion, llm_server, node_of, says
from tests.support.scripted_http import Answer, Asked, ScriptedServer

from codetree.engine import CallKey, LLMCall, LLMError, LLMErrorKind, Message
from codetree.llm import OpenAICompatible

KEY = "sk-very-secret"
CALL = LLMCall(
    CallKey("2.1", 2),
    "some-model",
    (Message("system", "Be brief."), Message("user", "6 * 7?")),
    256,
    temperature=0.5,
    seed=9,
)


class Sleeps:
    """Takes no time, and remembers how long it was asked to take."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def answers(*given: Answer) -> Callable[[Asked], Answer]:
    """The n-th request gets the n-th answer; the last one repeats."""
    return lambda asked: given[min(asked.occurrence, len(given)) - 1]


async def ask(server: ScriptedServer, sleeps: Callable[[float], Awaitable[None]] | None = None, **options: Any) -> Any:
    options.setdefault("api_key", SecretStr(KEY))
    async with OpenAICompatible(f"{server.url}/v1", sleep=sleeps or Sleeps(), **options) as client:
        return await client.complete(CALL)


async def refused(server: ScriptedServer, **options: Any) -> LLMError:
    with pytest.raises(LLMError) as caught:
        await ask(server, **options)
    assert KEY not in str(caught.value)
    return caught.value


async def test_a_call_is_a_chat_completion() -> None:
    with llm_server(answers(says("42"))) as server:
        reply = await ask(server)
    asked = server.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert node_of(asked) == ("2.1", 2)
    assert asked.body == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "6 * 7?"}],
        "max_tokens": 256,
        "temperature": 0.5,
        "seed": 9,
        "stream": False,
    }
    assert (reply.text, reply.model, reply.usage.input_tokens, reply.usage.output_tokens) == ("42", "scripted", 100, 20)
    assert (reply.usage.estimated, reply.attempts, reply.finish_reason) == (False, 1, "stop")
    assert reply.provider == f"{server.url}/v1/chat/completions"


async def test_no_key_no_header() -> None:
    with llm_server(answers(says("42"))) as server:
        await ask(server, api_key=None)
    assert "Authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("document", "text", "reasoning"),
    [
        (completion("42", reasoning_content="hm"), "42", "hm"),
        (completion("42", reasoning="hm"), "42", "hm"),
        (completion(None, tool_calls=[]), "", None),
        (completion([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]), "42", None),  # type: ignore[arg-type]
        (completion("a\0b\ud800"), "a\ufffdb\ufffd", None),
    ],
)
async def test_replies_that_differ_are_understood(document: object, text: str, reasoning: str | None) -> None:
    with llm_server(answers(Answer.json(document))) as server:
        reply = await ask(server)
    assert (reply.text, reply.reasoning) == (text, reasoning)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 2}, "many"])
async def test_tokens_that_are_not_reported_are_estimated_and_marked(usage: object) -> None:
    with llm_server(answers(Answer.json({**completion("x" * 40), "usage": usage}))) as server:
        reply = await ask(server)
    assert (reply.usage.output_tokens, reply.usage.estimated) == (10, True)


async def test_retry_after_is_honoured() -> None:
    limited = Answer.json({"error": {"message": "slow down"}}, 429, Retry_After="7")
    milliseconds = Answer.json({"error": {"message": "slow down"}}, 429, retry_after_ms="250")
    sleeps = Sleeps()
    with llm_server(answers(limited, milliseconds, says("42"))) as server:
        reply = await ask(server, sleeps)
    assert sleeps.seconds == [7.0, 0.25]
    assert reply.attempts == 3


async def test_a_server_that_asks_for_too_long_is_not_asked_again() -> None:
    with llm_server(answers(Answer.json({}, 429, Retry_After="3600"))) as server:
        error = await refused(server)
    assert error.kind is LLMErrorKind.RATE_LIMITED
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500, b"oops"),
        Answer(503, b""),
        Answer(408, b"{}"),
        Answer(409, b"{}"),
        Answer(429, b"{}"),
        Answer(200, b"<html>gateway</html>"),
        Answer(200, b'{"choices": []}'),
        Answer(200, b"[" * 100_000),
        Answer(200, json.dumps({"error": {"message": "upstream failed"}}).encode()),
        Answer(200, json.dumps(completion("42")).encode(), cut_after=40),
        Answer(drop=True),
    ],
)
async def test_transient_faults_are_retried_with_growing_waits(fault: Answer) -> None:
    sleeps = Sleeps()
    with llm_server(answers(fault, fault, says("42"))) as server:
        reply = await ask(server, sleeps)
    assert (reply.text, reply.attempts) == ("42", 3)
    assert 0.5 <= sleeps.seconds[0] <= 0.75
    assert 1.0 <= sleeps.seconds[1] <= 1.25


async def test_truncated_json_of_full_length_is_retried() -> None:
    with llm_server(answers(Answer(200, json.dumps(completion("42")).encode()[:60]), says("42"))) as server:
        assert (await ask(server)).attempts == 2


@pytest.mark.parametrize(
    ("fault", "kind", "billed"),
    [
        (Answer(500, b"oops"), LLMErrorKind.SERVER_ERROR, False),
        (Answer(429, b"{}"), LLMErrorKind.RATE_LIMITED, False),
        (Answer(200, b"garbage"), LLMErrorKind.BAD_REPLY, True),
        (Answer(200, b"{}" * 100, cut_after=10), LLMErrorKind.CONNECTION, True),
        (Answer(stall=True), LLMErrorKind.TIMEOUT, True),
    ],
)
async def test_faults_that_stay_are_named_after_the_last_attempt(
    fault: Answer, kind: LLMErrorKind, billed: bool
) -> None:
    with llm_server(answers(fault)) as server:
        error = await refused(server, max_attempts=3, timeout_seconds=0.3)
    assert (error.kind, error.may_be_billed) == (kind, billed)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "context too long"}}, LLMErrorKind.BAD_REQUEST),
        (404, {"error": "no such model"}, LLMErrorKind.BAD_REQUEST),
        (422, {"detail": "max_tokens"}, LLMErrorKind.BAD_REQUEST),
        (302, {}, LLMErrorKind.BAD_REQUEST),
        (429, {"error": {"message": "pay first", "code": "insufficient_quota"}}, LLMErrorKind.QUOTA),
    ],
)
async def test_faults_that_time_does_not_heal_are_not_retried(status: int, body: object, kind: LLMErrorKind) -> None:
    with llm_server(answers(Answer.json(body, status))) as server:
        error = await refused(server)
    assert error.kind is kind
    assert len(server.asked) == 1


async def test_a_missing_key_says_what_to_set() -> None:
    with llm_server(answers(Answer.json({"error": {"message": "who are you?"}}, 401))) as server:
        error = await refused(server, api_key=None)
    assert error.kind is LLMErrorKind.AUTHENTICATION
    assert str(error).endswith("answered 401: who are you?. No key is configured: set ASTROLABE_LLM_API_KEY")


async def test_a_refused_key_is_never_repeated() -> None:
    with llm_server(answers(Answer.json({"error": {"message": f"bad key {KEY}"}}, 401))) as server:
        error = await refused(server)
    assert "bad key [key]" in str(error)


async def test_retries_are_logged_without_the_key() -> None:
    fault = Answer.json({"error": {"message": f"key {KEY} is slow"}}, 500)
    with llm_server(answers(fault, says("42"))) as server, capture_logs() as logs:
        await ask(server)
    assert [(line["event"], line["node"], line["attempt"]) for line in logs] == [("llm.retry", "2.1", 1)]
    assert KEY not in str(logs)


async def test_an_endless_reply_is_cut_off() -> None:
    with llm_server(answers(Answer(200, b" " * (5 * 1024 * 1024)))) as server:
        error = await refused(server)
    assert "larger than 4194304 bytes" in str(error)


async def test_nobody_there_is_a_connection_error_that_costs_nothing() -> None:
    client = OpenAICompatible("http://127.0.0.1:1/v1", max_attempts=2, sleep=Sleeps())
    with pytest.raises(LLMError, match="can't connect to") as caught:
        await client.complete(CALL)
    await client.aclose()
    assert (caught.value.kind, caught.value.may_be_billed) == (LLMErrorKind.CONNECTION, False)


@pytest.mark.parametrize("url", ["ftp://host/v1", "host/v1", "http://", "http://user:pass@host/v1"])
def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the LLM base URL must"):
        OpenAICompatible(url)

"""The chat-completions wire format: what is sent, and what is accepted from servers that differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, JsonValue, NonNegativeInt, ValidationError

from codetree.engine.values import LLMReply, TokenUsage
from codetree.text import storable, storable_json

if TYPE_CHECKING:
    from codetree.engine.values import LLMCall
    from codetree.llm.registry import Capabilities

_CHARACTERS_PER_TOKEN = 4


class BadReplyError(ValueError):
    """A 200 that is not a chat completion."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Part(_Lenient):
    text: str = ""


class _Message(_Lenient):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None


class _Usage(_Lenient):
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt


class _Completion(_Lenient):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: JsonValue = None


def request_body(call: LLMCall, capabilities: Capabilities) -> dict[str, JsonValue]:
    """What is asked for and understood; nothing else is sent."""
    body: dict[str, JsonValue] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        capabilities.max_tokens_field: call.max_output_tokens,
        "stream": capabilities.stream,
    }
    if capabilities.stream:
        body["stream_options"] = {"include_usage": True}
    if call.temperature is not None and capabilities.temperature:
        body["temperature"] = call.temperature
    if call.seed is not None and capabilities.seed:
        body["seed"] = call.seed
    return body


def parse_completion(body: bytes, call: LLMCall, *, provider: str) -> LLMReply:
    """The reply in ``body``; tokens are estimated, and marked so, when none are reported. Raises ``BadReplyError``."""
    try:
        completion = _Completion.model_validate(storable_json(_json(body)))
    except (ValidationError, RecursionError) as error:
        raise BadReplyError(error_message(body) or "the reply is not a chat completion") from error
    choice = completion.choices[0]
    text = choice.message.text
    reasoning = choice.message.reasoning_content or choice.message.reasoning
    return LLMReply(
        text=text,
        usage=_reported(completion.usage) or estimate(call, text, reasoning or ""),
        model=completion.model or call.model,
        provider=provider,
        reasoning=reasoning or None,
        finish_reason=choice.finish_reason,
    )


def _reported(usage: JsonValue) -> TokenUsage | None:
    try:
        reported = _Usage.model_validate(usage)
    except ValidationError:
        return None
    return TokenUsage(reported.prompt_tokens, reported.completion_tokens)


def estimate(call: LLMCall, text: str, reasoning: str) -> TokenUsage:
    """A guess from lengths, for servers that do not count."""
    sent = sum(len(message.content) for message in call.messages)
    return TokenUsage(_tokens(sent), _tokens(len(text) + len(reasoning)), estimated=True)


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)


def error_message(body: bytes) -> str | None:
    """What an endpoint says went wrong, in any of the usual shapes."""
    document = _json(body)
    error = document.get("error", document.get("detail")) if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return storable(message) if isinstance(message, str) and message else None


def error_code(body: bytes) -> str | None:
    """The machine-readable code of an endpoint's error."""
    document = _json(body)
    error = document.get("error") if isinstance(document, dict) else None
    code = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _json(body: bytes) -> JsonValue:
    try:
        document: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document

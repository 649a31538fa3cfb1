"""The simulated model as a server that any OpenAI client can talk to."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from codetree.simulate.skill import USUAL_TEMPERATURE
from codetree.simulate.writer import Ask, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codetree.evaluate.suite import Suite
    from codetree.simulate.skill import Skill

_CHARACTERS_PER_TOKEN = 4


class _Part(BaseModel):
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str
    messages: Annotated[list[_Message], Field(min_length=1)]
    seed: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None


def make_app(skills: Mapping[str, Skill], suites: Sequence[Suite], *, seed: int = 0) -> FastAPI:
    """``POST /v1/chat/completions`` and ``GET /v1/models`` for the models in ``skills``."""
    writer = Writer(skills, [task for suite in suites for task in suite.tasks], seed)
    app = FastAPI(title="Simulated model")

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "simulation"} for name in skills]
        return {"object": "list", "data": listed}

    @app.post("/v1/chat/completions")
    async def complete(body: _Request) -> Response:
        if body.model not in skills:
            return _refusal(body.model, skills)
        await asyncio.sleep(skills[body.model].latency_seconds)
        messages = [(message.role, message.text) for message in body.messages]
        temperature = USUAL_TEMPERATURE if body.temperature is None else body.temperature
        text = writer.write(Ask(body.model, messages, body.seed, temperature))
        usage = _usage(messages, text)
        if body.stream:
            with_usage = body.stream_options is not None and body.stream_options.include_usage
            return StreamingResponse(_chunks(body.model, text, usage if with_usage else None), media_type=_EVENTS)
        return JSONResponse(_completion(body.model, text, usage))

    return app


_EVENTS = "text/event-stream"


def _refusal(model: str, skills: Mapping[str, Skill]) -> JSONResponse:
    message = f"The model {model!r} does not exist; there are: {', '.join(skills)}"
    error = {"message": message, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    return JSONResponse({"error": error}, 404)


def _usage(messages: Sequence[tuple[str, str]], text: str) -> dict[str, int]:
    sent = -(-sum(len(content) for _, content in messages) // _CHARACTERS_PER_TOKEN)
    written = -(-len(text) // _CHARACTERS_PER_TOKEN)
    return {"prompt_tokens": sent, "completion_tokens": written, "total_tokens": sent + written}


def _completion(model: str, text: str, usage: dict[str, int]) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**_head(model, "chat.completion"), "choices": [choice], "usage": usage}


def _chunks(model: str, text: str, usage: dict[str, int] | None) -> Iterator[str]:
    head = _head(model, "chat.completion.chunk")
    for word in text.splitlines(keepends=True):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        yield _event({**head, "choices": [choice]})
    yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage is not None:
        yield _event({**head, "choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}

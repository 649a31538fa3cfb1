"""A streamed chat completion, put together as if it had come in one piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DONE = "[DONE]"


def collect_stream(body: bytes) -> bytes:
    """The completion of a ``text/event-stream`` body.

    A body that is no stream (an error, a server that ignores ``stream``) is returned as it is. A stream without its end
    is incomplete and gives an empty body, so that it is asked again: half a program is no program.
    """
    if not body.lstrip().startswith((b"data:", b":", b"event:", b"id:")):
        return body
    text: dict[str, str] = {"content": "", "reasoning_content": ""}
    whole: dict[str, Any] = {"choices": [{"message": text, "finish_reason": None}]}
    ended = False
    for chunk in _chunks(body):
        if chunk is None:
            ended = True
            continue
        whole |= {name: chunk[name] for name in ("model", "usage", "error") if chunk.get(name)}
        for choice in chunk.get("choices") or []:
            _add(text, choice.get("delta") or {})
            if choice.get("finish_reason"):
                whole["choices"][0]["finish_reason"] = choice["finish_reason"]
                ended = True
    return json.dumps(whole).encode() if ended else b""


def _chunks(body: bytes) -> Iterator[dict[str, Any] | None]:
    """Each event's document; ``None`` for the mark of the end."""
    for line in body.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name != "data":
            continue
        if value.strip() == _DONE:
            yield None
            continue
        try:
            document = json.loads(value)
        except ValueError:
            return
        if isinstance(document, dict):
            yield document


def _add(text: dict[str, str], delta: dict[str, Any]) -> None:
    text["content"] += delta.get("content") or ""
    text["reasoning_content"] += delta.get("reasoning_content") or delta.get("reasoning") or ""

"""Recorded episodes: a request, and what a model answered at every node and turn."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, JsonValue, NonNegativeInt, ValidationError


class RecordingError(LookupError):
    """There is no such recording, or it can't be read."""


class RecordedReply(BaseModel):
    """One reply as the model gave it. Text is kept as lines, so that programs can be read in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: list[str]
    input_tokens: NonNegativeInt
    output_tokens: NonNegativeInt
    finish_reason: str = "stop"

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Recording(BaseModel):
    """``request`` is the body to POST to /solve; ``replies`` are keyed by node path and hold one reply a turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    origin: str
    request: dict[str, JsonValue]
    replies: dict[str, list[RecordedReply]]


def recording_names() -> list[str]:
    """The recordings that come with the package."""
    folder = resources.files("codetree") / "recordings"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


@cache
def load_recording(name: str) -> Recording:
    """A recording of the package. Raises ``RecordingError`` naming those there are."""
    known = recording_names()
    if name not in known:
        raise RecordingError(f"there is no recording {name!r}; there are: {', '.join(known)}")
    text = (resources.files("codetree") / "recordings" / f"{name}.json").read_text(encoding="utf-8")
    try:
        return Recording.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise RecordingError(f"recording {name!r} can't be read: {error}") from error

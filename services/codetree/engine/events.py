"""What happens in an episode, as it happens."""

from __future__ import annotations

from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass


class EventType(StrEnum):
    """The names clients see."""

    EPISODE_STARTED = "episode.started"
    PROMPTS_READY = "prompts.ready"
    LAYER_STARTED = "layer.started"
    NODE_GENERATED = "node.generated"
    TOOL_CALLED = "tool.called"
    NODE_FINISHED = "node.finished"
    BUDGET_UPDATED = "budget.updated"
    VOTE_UPDATED = "vote.updated"
    EPISODE_FINISHED = "episode.finished"


@dataclass(frozen=True, slots=True)
class Event:
    """``key`` is the same whenever the same thing happens in the same episode, so a resumed one repeats none."""

    type: EventType
    key: str
    data: dict[str, JsonValue]

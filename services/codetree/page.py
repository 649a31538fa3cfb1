"""What an episode writes down at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kit.jobs.events import EVENTS_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codetree.codec import JsonObject
    from codetree.engine.values import Usage


@dataclass(slots=True)
class Page:
    """Gathers until it is written. Of a node only its last state is kept; events keep their order."""

    recorded: list[JsonObject] = field(default_factory=list)
    nodes: dict[str, JsonObject] = field(default_factory=dict)
    events: list[JsonObject] = field(default_factory=list)
    progress: JsonObject | None = None
    tokens: int = 0
    money_usd: float = 0.0

    @property
    def is_blank(self) -> bool:
        return not (self.recorded or self.nodes or self.events)

    def record(self, kind: str, key: str, value: JsonObject) -> None:
        self.recorded.append({"kind": kind, "key": key, "value": value})

    def log(self, event: str, data: Mapping[str, Any], key: str | None = None) -> None:
        self.events.append({"type": event, "key": key, "data": data})

    def tell(self, progress: JsonObject) -> None:
        """Say how far the episode is."""
        self.progress = progress
        self.log("job.progress", progress)

    def charge(self, cost: Usage) -> None:
        """Count what was paid for what is recorded; an unknown price counts as nothing."""
        self.tokens += cost.tokens
        self.money_usd += cost.money_usd or 0.0

    def parameters(self) -> dict[str, Any]:
        """The bound parameters of ``write_page.sql``."""
        return {
            "recorded": _json(self.recorded),
            "nodes": _json(self.nodes),
            "events": _json(self.events),
            "progress": None if self.progress is None else _json(self.progress),
            "tokens": self.tokens,
            "money_usd": self.money_usd,
            "channel": EVENTS_CHANNEL,
        }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""The episode that a replay runs again: what it recorded, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from codetree import codec, store
from codetree.engine.replay import Replay
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from codetree.schemas import ReplayRequest
    from kit.worker import JobContext


class Source(NamedTuple):
    """An episode's record, by (kind, key), and its end."""

    recorded: Mapping[tuple[str, str], codec.JsonObject]
    replay: Replay
    mode: Literal["strict", "else_live"]


def load_source(context: JobContext, request: ReplayRequest) -> Source:
    """What ``request`` names; ``else_live`` asks those models again that failed.

    Raises ``Problem`` when it is gone, or too old to hold its models.
    """

    def load(session: Session) -> Source:
        result, recorded = store.result(session, request.of), store.recorded(session, request.of)
        if result is None or (store.MODELS, "pool") not in recorded:
            detail = f"The record of the episode {request.of} is gone or incomplete."
            raise Problem(409, "no-record", "Nothing to replay", detail)
        if request.mode == "else_live":
            recorded = {name: document for name, document in recorded.items() if name[0] != store.FAILURE}
        return Source(recorded, Replay.of(result), request.mode)

    return context.write(load)

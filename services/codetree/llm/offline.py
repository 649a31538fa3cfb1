"""Answers from a recording instead of a model, and says so in every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codetree.engine.ports import LLMError, LLMErrorKind
from codetree.engine.values import LLMReply, TokenUsage

if TYPE_CHECKING:
    from codetree.engine.values import LLMCall
    from codetree.llm.recording import Recording

OFFLINE_PREFIX = "offline:"
PROVIDER = "offline-replay"


class OfflineProvider:
    """Replays ``recording`` by node path and turn. Token counts are the recorded ones; nothing is paid."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def complete(self, call: LLMCall) -> LLMReply:
        """The recorded reply. Raises ``LLMError`` where the recording has none."""
        turns = self._recording.replies.get(call.key.path, [])
        if call.key.turn > len(turns) or call.key.tool:
            name, whose = self._recording.name, " to a program" if call.key.tool else ""
            message = f"recording {name!r} has no reply{whose} for node {call.key.path}, turn {call.key.turn}"
            raise LLMError(LLMErrorKind.RECORDING_MISS, message)
        recorded = turns[call.key.turn - 1]
        return LLMReply(
            text=recorded.text,
            usage=TokenUsage(recorded.input_tokens, recorded.output_tokens),
            model=call.model,
            provider=PROVIDER,
            finish_reason=recorded.finish_reason,
            note=f"replayed from the recording {self._recording.name!r}; no model was asked",
        )

    async def aclose(self) -> None:
        """Nothing to close."""

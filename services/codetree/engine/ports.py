"""The engine's ports: who writes programs, who runs them, and who remembers. Everything else is pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMCall, LLMReply, Program


class LLMErrorKind(StrEnum):
    """Why a model did not answer."""

    AUTHENTICATION = "authentication"
    BAD_REQUEST = "bad_request"
    QUOTA = "quota"
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    SERVER_ERROR = "server_error"
    BAD_REPLY = "bad_reply"
    RECORDING_MISS = "recording_miss"
    UNKNOWN_MODEL = "unknown_model"


class LLMError(Exception):
    """A model call that gave no reply, after the client's own retries.

    ``may_be_billed``: the endpoint may have charged for work whose reply was lost, so the budget keeps the reservation.
    """

    def __init__(self, kind: LLMErrorKind, message: str, *, may_be_billed: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.may_be_billed = may_be_billed


class ExecutorError(Exception):
    """The executor could not run a program. It says nothing about the program."""


class LLM(Protocol):
    """Writes programs."""

    async def complete(self, call: LLMCall) -> LLMReply:
        """One reply to ``call``. Raises ``LLMError``."""
        ...


class Executor(Protocol):
    """Runs programs."""

    async def execute(self, program: Program) -> Execution:
        """Run ``program`` once in confinement. Raises ``ExecutorError`` when it could not be run."""
        ...


class Journal(Protocol):
    """Remembers an episode, so that a killed worker resumes and pays for no reply twice.

    A key is recorded at most once. ``node_changed`` is an upsert by ``node.path``; ``emit`` may see an event again
    after a resume and must keep only the first with the same ``event.key``. What a method raises ends the episode.
    """

    async def recall_reply(self, key: CallKey) -> LLMReply | None: ...

    async def record_reply(self, key: CallKey, reply: LLMReply) -> None: ...

    async def recall_execution(self, key: CallKey) -> Execution | None: ...

    async def record_execution(self, key: CallKey, execution: Execution) -> None: ...

    async def node_changed(self, node: Node) -> None: ...

    async def emit(self, event: Event) -> None: ...

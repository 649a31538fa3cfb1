"""The engine's ports: who writes programs, who runs them, and who remembers. Everything else is pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from codetree.engine.events import Event
    from codetree.engine.tree import Node
    from codetree.engine.values import CallKey, Execution, LLMCall, LLMReply, Program, ToolOutcome, Usage


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


@dataclass(frozen=True, slots=True)
class LLMFailure:
    """A call without a reply, as it is recorded: a resumed or replayed episode meets it again and asks nobody."""

    kind: LLMErrorKind
    message: str
    may_be_billed: bool

    @classmethod
    def of(cls, error: LLMError) -> Self:
        return cls(error.kind, str(error), error.may_be_billed)

    def error(self) -> LLMError:
        return LLMError(self.kind, self.message, may_be_billed=self.may_be_billed)


class ExecutorError(Exception):
    """The executor could not run a program. It says nothing about the program."""


class ToolFailedError(Exception):
    """A tool that the host carries out gave no result: why, as the program is told."""


class LLM(Protocol):
    """Writes programs."""

    async def complete(self, call: LLMCall) -> LLMReply:
        """One reply to ``call``. Raises ``LLMError``."""
        ...


class ToolCalls(Protocol):
    """Answers one run of one program."""

    async def call(self, name: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """The result of a hosted function. Raises ``ToolFailedError``."""
        ...


class ToolHost(Protocol):
    """Carries out the hosted functions that an episode's programs call."""

    async def answer(self, key: CallKey, *, again: bool = False) -> ToolCalls:
        """For one run of the program ``key``; ``again``: of an earlier step, which may only repeat what it asked."""
        ...


class Executor(Protocol):
    """Runs programs."""

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        """Run ``program`` in confinement, its hosted functions carried out by ``host``.

        A run that was lost is repeated. Raises ``ExecutorError`` when the program could not be run.
        """
        ...


class Services(Protocol):
    """The services behind hosted functions other than models."""

    async def call(self, key: CallKey, function: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """The service's answer; ``key`` is the same whenever the same call is repeated. Raises ``ToolFailedError``."""
        ...


class Journal(Protocol):
    """Remembers an episode, so that a killed worker resumes and pays for no reply twice.

    A key is recorded at most once; ``cost`` is what has just been paid for what is recorded. ``node_changed`` is an
    upsert by ``node.path``; ``emit`` may see an event again after a resume and must keep only the first with the same
    ``event.key``. What a method raises ends the episode.
    """

    async def recall_reply(self, key: CallKey) -> LLMReply | LLMFailure | None: ...

    async def record_reply(self, key: CallKey, reply: LLMReply | LLMFailure, cost: Usage) -> None: ...

    async def recall_tools(self, key: CallKey) -> Mapping[str, ToolOutcome]:
        """What the program ``key`` was answered, by the ``tool`` of each call's key."""
        ...

    async def record_tool(self, key: CallKey, outcome: ToolOutcome) -> None:
        """Keep the answer to the call ``key``, which names its ``tool``. It lasts when this returns."""
        ...

    async def recall_execution(self, key: CallKey) -> Execution | None: ...

    async def record_execution(self, key: CallKey, execution: Execution) -> None: ...

    async def node_changed(self, node: Node) -> None: ...

    async def emit(self, event: Event) -> None: ...

"""The values that cross the engine's ports. All are immutable and JSON-serialisable through ``codetree.codec``."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Literal

from pydantic import JsonValue
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallKey:
    """Names one model turn, and the program that came of it, within an episode: the key of record and resume.

    ``tool`` names a call of a hosted function by that program.
    """

    path: str
    turn: int
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars per million tokens."""

    input_usd_per_million: float
    output_usd_per_million: float

    def money_usd(self, input_tokens: int, output_tokens: int) -> float:
        weighted = input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million
        return weighted / 1_000_000


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of an episode's pool. A price of ``None`` is unknown, which is not the same as free.

    ``weight`` is its share of the nodes, relative to the other models'.
    """

    name: str
    price: Price | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class LLMCall:
    """One request to a model."""

    key: CallKey
    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    temperature: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one reply; ``estimated`` when the endpoint did not report them."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class LLMReply:
    """What a model answered. ``provider`` says who answered; ``note`` is shown to whoever reads the result.

    ``parameters`` are those in effect: what was sent, after what the endpoint does not understand was left out.
    """

    text: str
    usage: TokenUsage
    model: str
    provider: str
    reasoning: str | None = None
    finish_reason: str | None = None
    note: str | None = None
    attempts: int = 1
    latency_seconds: float = 0.0
    parameters: dict[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Function:
    """A function a program may call, as the prompt shows it."""

    signature: str
    docstring: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the host calls a tool for a program; ``parameters`` is the JSON Schema of its arguments."""

    url: str
    parameters: dict[str, JsonValue]
    timeout_seconds: float = 10.0
    max_calls: int = 20


@dataclass(frozen=True, slots=True)
class Hosted:
    """A function that the episode's own host carries out; ``parameters`` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    timeout_seconds: float = 60.0
    max_calls: int = 20


@dataclass(frozen=True, slots=True)
class Ask:
    """How a program may ask a model: which one of the pool (none: its first), and how long its reply may be."""

    model: str | None = None
    max_output_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class Tool:
    """Functions for programs. Python source, loaded before the program inside the jail; or functions outside of it.

    With an ``endpoint`` there is one function, called at its URL. ``hosted`` ones are carried out by the episode's host
    and recorded; with ``ask`` they ask a model, within the episode's budget.
    """

    name: str
    description: str
    source: str
    functions: tuple[Function, ...] = ()
    endpoint: Endpoint | None = None
    hosted: tuple[Hosted, ...] = ()
    ask: Ask | None = None

    @property
    def is_pure(self) -> bool:
        """Whether the same call can only give the same."""
        return self.endpoint is None and not self.hosted


@dataclass(frozen=True, slots=True)
class Step:
    """Code that ran earlier in a session."""

    key: CallKey
    code: str


@dataclass(frozen=True, slots=True)
class Program:
    """One complete program to execute, with the tools it may call.

    ``session`` names the interpreter that keeps its state from step to step, and ``history`` what ran in it before, so
    that an executor that lost the session can build it again.
    """

    key: CallKey
    code: str
    tools: tuple[Tool, ...] = ()
    wall_seconds: float = 30.0
    session: str | None = None
    history: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What something cost. ``money_usd`` is ``None`` when a price is unknown; ``estimated`` marks guessed tokens."""

    llm_calls: int = 0
    programs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money_usd: float | None = 0.0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        unknown = self.money_usd is None or other.money_usd is None
        return Usage(
            llm_calls=self.llm_calls + other.llm_calls,
            programs=self.programs + other.programs,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            money_usd=None if unknown else (self.money_usd or 0.0) + (other.money_usd or 0.0),
            estimated=self.estimated or other.estimated,
        )

    def __sub__(self, other: Usage) -> Usage:
        money_usd = None if other.money_usd is None else -other.money_usd
        return self + Usage(-other.llm_calls, -other.programs, -other.input_tokens, -other.output_tokens, money_usd)


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a call of a hosted function ended: with a result, or with the ``error`` the program was told."""

    result: JsonValue = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)


class ExecutionStatus(StrEnum):
    """How the process ended. An executor that could not run the program raises ``ExecutorError`` instead."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_EXCEEDED = "output_exceeded"
    KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Execution:
    """The outcome of one program. ``result_given`` tells an answer of JSON null from no answer.

    ``reason`` is the executor's sentence on a status that is not ``ok``; ``signal`` is a name such as SIGSEGV.
    ``tool_usage`` is what the program spent on models it asked.
    """

    status: ExecutionStatus
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    result_given: bool = False
    result: JsonValue = None
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    max_rss_bytes: int | None = None
    tool_usage: Usage = field(default_factory=Usage)

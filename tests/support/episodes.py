"""Ports of the codetree engine that answer from a function of the node path, and count what they are asked."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

from codetree.engine import (
    CallKey,
    EpisodeSpec,
    Execution,
    ExecutionStatus,
    ExecutorError,
    LLMError,
    LLMErrorKind,
    LLMReply,
    ModelSpec,
    TokenUsage,
)
from codetree.engine.budget import token_bound

if TYPE_CHECKING:
    from collections.abc import Callable

    from codetree.engine import LLMCall, Program, ToolHost
    from codetree.engine.ports import ToolCalls

MODEL = ModelSpec("scripted")


def spec(**changes: object) -> EpisodeSpec:
    """An episode with one model and nothing special."""
    return EpisodeSpec(**{"task": "What is it?", "models": (MODEL,), **changes})  # type: ignore[arg-type]


def written(line: str) -> str:
    """A well-formed reply whose program is one line that ``Lines`` understands."""
    return f"<thought>about {line}</thought><execute>{line}</execute>"


class Replies:
    """Replies by (path, turn). A reply that is an exception is raised. Yields to other tasks as ``schedule`` says."""

    def __init__(self, script: Callable[[str, int], str | LLMError], schedule: random.Random | None = None) -> None:
        self._script = script
        self._schedule = schedule
        self.calls: list[LLMCall] = []
        self.counts: Counter[CallKey] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0

    async def complete(self, call: LLMCall) -> LLMReply:
        self.calls.append(call)
        self.counts[call.key] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await give_way(self._schedule)
        finally:
            self.in_flight -= 1
        reply = self._script(call.key.path, call.key.turn)
        if isinstance(reply, LLMError):
            raise reply
        chance = random.Random(f"tokens/{call.key.path}/{call.key.turn}")  # noqa: S311 - reproducible
        usage = TokenUsage(chance.randint(1, token_bound(call.messages)), chance.randint(1, call.max_output_tokens))
        return LLMReply(reply, usage, model=call.model, provider="test")


class NobodyAsks:
    """The host of programs without hosted functions."""

    async def answer(self, key: CallKey, *, again: bool = False) -> ToolCalls:
        raise AssertionError((key, again))


class Lines:
    """Understands ``answer X``, ``silent``, ``outage`` and ``crash MESSAGE``."""

    def __init__(self, schedule: random.Random | None = None) -> None:
        self._schedule = schedule
        self.counts: Counter[CallKey] = Counter()

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        del host
        self.counts[program.key] += 1
        await give_way(self._schedule)
        word, _, rest = program.code.partition(" ")
        if word == "answer":
            return Execution(ExecutionStatus.OK, exit_code=0, result_given=True, result=rest)
        if word == "silent":
            return Execution(ExecutionStatus.OK, exit_code=0, stdout="nothing to see")
        if word == "outage":
            raise ExecutorError("the sandbox is down")
        return Execution(ExecutionStatus.ERROR, exit_code=1, stderr=f"Traceback:\n{rest}")


async def give_way(schedule: random.Random | None) -> None:
    for _ in range(schedule.randrange(4) if schedule else 0):
        await asyncio.sleep(0)


OUTCOMES = ("answer 42", "answer 41", "silent", "crash KeyError: 'fare'", "malformed", "late", "no model", "outage")


def by_chance(seed: int) -> Callable[[str, int], str | LLMError]:
    """A script in which every node's fate is drawn once, from the seed and its path."""

    def script(path: str, turn: int) -> str | LLMError:
        fate = random.Random(f"{seed}/{path}").choice(OUTCOMES)  # noqa: S311 - reproducible
        if fate == "no model":
            return LLMError(LLMErrorKind.SERVER_ERROR, "down", may_be_billed=path.endswith("1"))
        if fate == "malformed" or (fate == "late" and turn == 1):
            return "I would rather not."
        return written("answer 42" if fate == "late" else fate)

    return script

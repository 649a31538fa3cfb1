"""Hosted functions: what a program asks of the host, paid from the episode's budget and recorded.

A call is named by what is asked and how often, so that a program that runs again, after a crash or because its run was
lost, is told the same and pays for nothing twice. Replay runs no program, and so asks for nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from codetree.engine.budget import failure_cost, reply_cost, worst_case
from codetree.engine.events import Event, EventType
from codetree.engine.ports import LLMError, ToolFailedError
from codetree.engine.values import CallKey, LLMCall, Message, ToolOutcome, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from codetree.engine.budget import Ledger
    from codetree.engine.ports import LLM, Journal, Services
    from codetree.engine.spec import EpisodeSpec
    from codetree.engine.values import Ask

_DIGEST_CHARACTERS = 16
_NOT_TEXT = "prompt must be text that is not empty"


class NoServices:
    """For episodes whose tools need none."""

    async def call(self, key: CallKey, function: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        del key, arguments
        raise ToolFailedError(f"{function} is not available here")


class Toolbox:
    """The hosted functions of one episode. What they cost is reserved from ``ledger`` before it is spent."""

    def __init__(self, spec: EpisodeSpec, llm: LLM, services: Services, journal: Journal, ledger: Ledger) -> None:
        self._spec = spec
        self._llm = llm
        self._services = services
        self._journal = journal
        self._ledger = ledger
        self._functions = {function.name: tool.ask for tool in spec.tools for function in tool.hosted}
        self._known: dict[CallKey, dict[str, ToolOutcome]] = {}
        self._lost: defaultdict[CallKey, Usage] = defaultdict(Usage)
        self._flights: dict[CallKey, asyncio.Task[ToolOutcome]] = {}
        self._broken: BaseException | None = None

    async def answer(self, key: CallKey, *, again: bool = False) -> _Run:
        """Answers for one run of the program ``key``, which knows what earlier runs of it were answered."""
        if key not in self._known:
            self._known[key] = dict(await self._journal.recall_tools(key))
            self._ledger.exchange(Usage(), self._recorded(key))
        return _Run(self, key, again=again)

    async def close(self, key: CallKey) -> Usage:
        """What the program spent, once no run of it goes on; a call in flight is ended and keeps its reservation.

        Raises what the journal raised while a call was recorded: that ends the episode, not the call.
        """
        flights = [task for call, task in self._flights.items() if replace(call, tool="") == key]
        await _end(flights)
        if self._broken is not None:
            raise self._broken
        return self._recorded(key) + self._lost[key]

    async def aclose(self) -> None:
        """End every call in flight."""
        await _end(list(self._flights.values()))

    async def outcome(self, key: CallKey, name: str, arguments: Mapping[str, JsonValue], *, again: bool) -> ToolOutcome:
        """What the call ``key`` was answered, or is when it is made now. Raises ``ToolFailedError`` when it may not be.

        A caller that goes away does not end the call: what is paid for is recorded, for whoever asks again.
        """
        known = self._known[replace(key, tool="")].get(key.tool)
        if known is not None:
            return known
        if name not in self._functions:
            raise ToolFailedError("there is no such tool in this episode")
        if again:
            raise ToolFailedError("this step asked for something else when it ran first")
        if key not in self._flights:
            self._flights[key] = asyncio.create_task(self._carry_out(key, name, arguments))
            self._flights[key].add_done_callback(lambda task: self._landed(key, task))
        return await asyncio.shield(self._flights[key])

    def _landed(self, key: CallKey, task: asyncio.Task[ToolOutcome]) -> None:
        del self._flights[key]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ToolFailedError):
            self._broken = self._broken or error

    async def _carry_out(self, key: CallKey, name: str, arguments: Mapping[str, JsonValue]) -> ToolOutcome:
        ask = self._functions[name]
        made = self._asked(key, ask, arguments) if ask else self._served(key, name, arguments)
        outcome = await made
        self._known[replace(key, tool="")][key.tool] = outcome
        await self._journal.record_tool(key, outcome)
        await self._journal.emit(_event(key, name, outcome))
        return outcome

    async def _served(self, key: CallKey, name: str, arguments: Mapping[str, JsonValue]) -> ToolOutcome:
        try:
            return ToolOutcome(await self._services.call(key, name, arguments))
        except ToolFailedError as error:
            return ToolOutcome(error=str(error))

    async def _asked(self, key: CallKey, ask: Ask, arguments: Mapping[str, JsonValue]) -> ToolOutcome:
        """Ask a model. Of an endpoint's words only the kind of failure is told: they may hold addresses."""
        prompt = arguments.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            return ToolOutcome(error=_NOT_TEXT)
        model = next(one for one in self._spec.models if ask.model in {None, one.name})
        call = LLMCall(
            key=key,
            model=model.name,
            messages=(Message("user", prompt),),
            max_output_tokens=ask.max_output_tokens,
            temperature=self._spec.policy.temperature,
            seed=self._spec.seed_for(key),
        )
        most = worst_case(call, model.price)
        if refused := self._ledger.reserve(most):
            raise ToolFailedError(f"the episode's budget does not allow it: limits.{refused.value}")
        try:
            reply = await self._llm.complete(call)
        except LLMError as error:
            cost = failure_cost(call, model.price, may_be_billed=error.may_be_billed)
            outcome = ToolOutcome(error=f"the model did not answer: {error.kind.value}", usage=cost)
        except asyncio.CancelledError:
            self._lost[replace(key, tool="")] += replace(most, estimated=True)
            raise
        else:
            outcome = ToolOutcome(reply.text, usage=reply_cost(reply, model.price))
        self._ledger.exchange(most, outcome.usage)
        return outcome

    def _recorded(self, key: CallKey) -> Usage:
        return sum((outcome.usage for outcome in self._known.get(key, {}).values()), Usage())


class _Run:
    """One run of a program: the same question asked twice in it is two calls."""

    def __init__(self, toolbox: Toolbox, key: CallKey, *, again: bool) -> None:
        self._toolbox = toolbox
        self._key = key
        self._again = again
        self._asked: Counter[str] = Counter()

    async def call(self, name: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """The result. Raises ``ToolFailedError`` with what the program is told."""
        digest = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]
        question = f"{name}/{digest}"
        self._asked[question] += 1
        key = replace(self._key, tool=f"{question}/{self._asked[question]}")
        outcome = await self._toolbox.outcome(key, name, arguments, again=self._again)
        if outcome.error is not None:
            raise ToolFailedError(outcome.error)
        return outcome.result


async def _end(flights: list[asyncio.Task[ToolOutcome]]) -> None:
    for task in flights:
        task.cancel()
    await asyncio.gather(*flights, return_exceptions=True)


def _event(key: CallKey, name: str, outcome: ToolOutcome) -> Event:
    data: dict[str, JsonValue] = {
        "path": key.path,
        "function": name,
        "error": outcome.error,
        "tokens": outcome.usage.tokens,
        "money_usd": outcome.usage.money_usd,
    }
    return Event(EventType.TOOL_CALLED, f"{EventType.TOOL_CALLED.value}:{key.path}:{key.turn}:{key.tool}", data)

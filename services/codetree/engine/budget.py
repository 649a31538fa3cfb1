"""Budgets that hold: the worst case of a layer is reserved before it starts and settled after it ends.

Parallel branches would otherwise each see money left and overshoot together.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from codetree.engine.values import LLMCall, LLMReply, Message, Price, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOKENS_PER_MESSAGE = 16


class Limit(StrEnum):
    """The things an episode may be limited in."""

    MONEY_USD = "money_usd"
    TOKENS = "tokens"
    LLM_CALLS = "llm_calls"
    PROGRAMS = "programs"
    WALL_SECONDS = "wall_seconds"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an episode may spend; ``None`` is no limit. A ``money_usd`` limit needs every model's price."""

    money_usd: float | None = None
    tokens: int | None = None
    llm_calls: int | None = None
    programs: int | None = None
    wall_seconds: float | None = None


def token_bound(messages: Iterable[Message]) -> int:
    """The most tokens a prompt can have: a byte-level BPE token covers at least one byte; plus the chat template's."""
    return sum(len(message.content.encode()) + _TOKENS_PER_MESSAGE for message in messages)


def worst_case(call: LLMCall, price: Price | None, *, extra_input_bytes: int = 0, programs: int = 0) -> Usage:
    """The most that ``call`` can cost, with a prompt of at most ``extra_input_bytes`` more, and its programs."""
    input_tokens = token_bound(call.messages) + extra_input_bytes
    money = None if price is None else price.money_usd(input_tokens, call.max_output_tokens)
    return Usage(1, programs, input_tokens, call.max_output_tokens, money)


def reply_cost(reply: LLMReply, price: Price | None) -> Usage:
    """What a reply cost."""
    used = reply.usage
    money = None if price is None else price.money_usd(used.input_tokens, used.output_tokens)
    return Usage(1, 0, used.input_tokens, used.output_tokens, money, used.estimated)


def failure_cost(call: LLMCall, price: Price | None, *, may_be_billed: bool) -> Usage:
    """What a call without a reply is charged: its worst case when the endpoint may have billed it."""
    return replace(worst_case(call, price), estimated=True) if may_be_billed else Usage(llm_calls=1)


class Ledger:
    """What is spent and what is promised: together within the limits, as long as reservations are worst cases."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.spent = Usage()
        self.reserved = Usage()

    def reserve(self, wanted: Usage) -> Limit | None:
        """Promise ``wanted``; or promise nothing and name the limit that forbids it."""
        total = self.spent + self.reserved + wanted
        refused = self._first_passed(total)
        if refused is None:
            self.reserved = self.reserved + wanted
        return refused

    def exchange(self, wanted: Usage, actual: Usage) -> None:
        """Replace the one reservation of ``wanted`` by what was used of it; it stays reserved until all are settled."""
        self.reserved = self.reserved - wanted + actual

    def settle(self, actual: Usage) -> None:
        """Replace every open reservation by what was really used."""
        self.reserved = Usage()
        self.spent = self.spent + actual

    def _first_passed(self, total: Usage) -> Limit | None:
        limits = self.limits
        checks: tuple[tuple[Limit, float | None, float | None], ...] = (
            (Limit.LLM_CALLS, limits.llm_calls, total.llm_calls),
            (Limit.PROGRAMS, limits.programs, total.programs),
            (Limit.TOKENS, limits.tokens, total.tokens),
            (Limit.MONEY_USD, limits.money_usd, total.money_usd),
        )
        for name, limit, value in checks:
            if limit is not None and (value is None or value > limit):
                return name
        return None

"""Prompt exploration: fill an episode's prompt pool before its first layer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from codetree.engine.budget import failure_cost, reply_cost, worst_case
from codetree.engine.exploration import (
    SEED,
    PromptPool,
    Prompts,
    PromptVariant,
    builtin_prompts,
    evolved_variant,
)
from codetree.engine.policy import PolicyKind
from codetree.engine.ports import LLMError
from codetree.engine.prompts import evolution
from codetree.engine.values import CallKey, LLMCall, Usage

if TYPE_CHECKING:
    from codetree.engine.budget import Ledger
    from codetree.engine.grow import Grower

POOL_PATH = "0"
"""The calls that evolve prompts belong to the episode, not to a node: roots count from 1."""

_MAX_OUTPUT_TOKENS = 512


async def fill_pool(grower: Grower, ledger: Ledger, remaining_seconds: float | None) -> tuple[Prompts, Usage]:
    """The prompt pool and what it cost.

    Variants that the budget, the clock or an outage keeps from being evolved are taken from the fixed list: exploration
    is a means, never a reason for an episode to fail.
    """
    exploration = grower.spec.policy.exploration
    if exploration.prompts is PromptPool.OFF or grower.spec.policy.kind is PolicyKind.CODEACT:
        return Prompts(), Usage()
    fixed = builtin_prompts(exploration.prompt_count)
    if exploration.prompts is PromptPool.BUILTIN:
        return Prompts(fixed), Usage()
    calls = [_call(grower, number) for number in range(1, exploration.prompt_count)]
    price = grower.spec.models[0].price
    if any(ledger.reserve(worst_case(call, price)) for call in calls):
        return Prompts(fixed), Usage()
    try:
        async with asyncio.timeout(remaining_seconds):
            evolved = await asyncio.gather(*(_evolve(grower, call) for call in calls))
    except TimeoutError:
        return Prompts(fixed), sum((worst_case(call, price) for call in calls), Usage(estimated=True))
    return Prompts((SEED, *(variant for variant, _ in evolved))), sum((usage for _, usage in evolved), Usage())


async def _evolve(grower: Grower, call: LLMCall) -> tuple[PromptVariant, Usage]:
    price = grower.spec.models[0].price
    try:
        reply = await grower.reply(call, price)
    except LLMError as error:
        return evolved_variant(call.key.turn, ""), failure_cost(call, price, may_be_billed=error.may_be_billed)
    return evolved_variant(call.key.turn, reply.text), reply_cost(reply, price)


def _call(grower: Grower, number: int) -> LLMCall:
    spec = grower.spec
    key = CallKey(POOL_PATH, number)
    return LLMCall(
        key=key,
        model=spec.models[0].name,
        messages=evolution(spec, number, spec.policy.exploration.prompt_count),
        max_output_tokens=_MAX_OUTPUT_TOKENS,
        temperature=spec.policy.temperature,
        seed=spec.seed_for(key),
    )

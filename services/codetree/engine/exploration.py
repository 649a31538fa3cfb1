"""Exploration: how the branches of one tree are made to differ. Each lever can be turned off for an ablation.

Tree-of-Code explores by prompts and by models (arXiv 2412.15305); temperature is the third usual lever.
"""

from __future__ import annotations

import re
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from codetree.engine.tree import layer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_GUIDANCE_CHARACTERS = 2_000
_PROMPT_TAG = re.compile(r"<prompt>(.*?)(?:</prompt>|\Z)", re.IGNORECASE | re.DOTALL)


class PromptPool(StrEnum):
    """Where prompt variants come from: nowhere, a fixed list, or the model itself, asked to evolve the seed."""

    OFF = "off"
    BUILTIN = "builtin"
    EVOLVED = "evolved"


@dataclass(frozen=True, slots=True)
class Exploration:
    """The levers. ``temperatures`` are those of layers 1, 2, ...; the last one holds for all deeper layers.

    An empty schedule leaves every layer at the policy's temperature.
    """

    prompts: PromptPool = PromptPool.OFF
    prompt_count: int = 3
    models: bool = True
    temperatures: tuple[float, ...] = ()

    def temperature(self, path: str, default: float | None) -> float | None:
        """The sampling temperature of the node at ``path``."""
        if not self.temperatures:
            return default
        return self.temperatures[min(layer_of(path), len(self.temperatures)) - 1]


@dataclass(frozen=True, slots=True)
class PromptVariant:
    """One way of working that a prompt may ask for. ``evolved`` tells a model's text from ours."""

    name: str
    guidance: str
    evolved: bool = False


SEED = PromptVariant(
    "seed",
    "First say what the task asks for and in which form. Then obtain every fact from the functions, compute, answer.",
)
BUILTIN = (
    SEED,
    PromptVariant(
        "inspect",
        "Do not trust what you expect a function to return. Look at the type and the keys of every result before you "
        "use it, handle empty results, and raise an error with a clear message where something is missing.",
    ),
    PromptVariant(
        "decompose",
        "Split the task into small named functions, one for each fact or step, each with its arguments made explicit. "
        "The last lines of the program compose them and answer.",
    ),
    PromptVariant(
        "verify",
        "Compute the answer, then check it inside the program in a second, independent way or against the task's "
        "conditions with assert, before you answer.",
    ),
    PromptVariant(
        "enumerate",
        "Where there is a choice, enumerate all candidates in a list with everything that matters for the choice, and "
        "select from that list by the task's rule; pay attention to ties and to units.",
    ),
)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The variants of one episode; siblings take them in turn, shifted from parent to parent."""

    variants: tuple[PromptVariant, ...] = field(default=(SEED,))

    def variant_for(self, path: str) -> PromptVariant:
        steps = [int(step) for step in path.split(".")]
        return self.variants[(sum(steps) - len(steps)) % len(self.variants)]


def builtin_prompts(count: int) -> tuple[PromptVariant, ...]:
    """The seed and as many fixed variants as make ``count``, or all there are."""
    return BUILTIN[:count]


def evolved_variant(number: int, reply_text: str) -> PromptVariant:
    """The variant in a model's reply; a fixed one when the reply holds none."""
    found = _PROMPT_TAG.search(reply_text)
    guidance = " ".join((found.group(1) if found else "").split())[:MAX_GUIDANCE_CHARACTERS]
    if not guidance:
        return BUILTIN[number % len(BUILTIN)]
    return PromptVariant(f"evolved-{number}", guidance, evolved=True)


def weighted_turn(weights: Sequence[float], turn: int) -> int:
    """Who is served at ``turn`` (from 0) by smooth weighted round robin: no weight waits longer than its share."""
    credit = [0.0] * len(weights)
    total = sum(weights)
    chosen = 0
    for _ in range(turn + 1):
        credit = [have + weight for have, weight in zip(credit, weights, strict=True)]
        chosen = max(range(len(credit)), key=credit.__getitem__)
        credit[chosen] -= total
    return chosen

"""How able a simulated model is, and what it does with one request."""

from __future__ import annotations

import math
import tomllib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, model_validator

if TYPE_CHECKING:
    import random
    from pathlib import Path

Chance = Annotated[float, Field(ge=0, le=1)]
_SURE = 1e-6
USUAL_TEMPERATURE = 0.7


class Fate(StrEnum):
    """What a reply is."""

    RIGHT = "right"
    WRONG = "wrong"
    CRASH = "crash"
    SILENT = "silent"
    MALFORMED = "malformed"


class Skill(BaseModel):
    """Chances of a program's fates; what they leave of 1 is ``right``.

    ``repair``: the chance of ``right`` for a program whose author was told an error. ``spread``: how much the odds
    differ between tasks and prompt variants, as the standard deviation of their logarithm. ``agreement``: the chance
    that a wrong answer is the task's usual wrong answer. ``latency_seconds`` passes before each reply.

    The chances are those at ``USUAL_TEMPERATURE``. Below it a reply is the more often the prompt's usual one, the same
    for every sibling; above it the odds of ``right`` fall by ``heat`` for each unit, in their logarithm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    wrong: Chance = 0.2
    crash: Chance = 0.2
    silent: Chance = 0.05
    malformed: Chance = 0.05
    repair: Chance = 0.6
    spread: NonNegativeFloat = 1.0
    agreement: Chance = 0.4
    heat: NonNegativeFloat = 1.0
    latency_seconds: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _chances_fit(self) -> Self:
        if self.wrong + self.crash + self.silent + self.malformed > 1 + 1e-9:
            raise ValueError("wrong + crash + silent + malformed must not be above 1")
        return self

    @property
    def right(self) -> float:
        return max(0.0, 1.0 - self.wrong - self.crash - self.silent - self.malformed)

    def draw(
        self,
        luck: random.Random,
        difficulty: random.Random,
        *,
        told_an_error: bool,
        temperature: float = USUAL_TEMPERATURE,
    ) -> Fate:
        """A fate. ``difficulty`` is the same for the same task and prompt variant, ``luck`` differs with each call."""
        too_hot = max(0.0, temperature - USUAL_TEMPERATURE)
        shift = difficulty.gauss(0.0, self.spread) - self.heat * too_hot
        right = _shifted(self.repair if told_an_error else self.right, shift)
        if luck.random() < right:
            return Fate.RIGHT
        fates = (Fate.WRONG, Fate.CRASH, Fate.SILENT, Fate.MALFORMED)
        weights = [self.wrong, self.crash, self.silent, self.malformed]
        return luck.choices(fates, weights)[0] if sum(weights) else Fate.WRONG


def _shifted(chance: float, shift: float) -> float:
    """The chance whose odds are ``exp(shift)`` times as good; certainties stay."""
    if chance <= _SURE or chance >= 1 - _SURE:
        return chance
    return 1 / (1 + math.exp(-(math.log(chance / (1 - chance)) + shift)))


PRESETS = {
    "simulated-strong": Skill(wrong=0.1, crash=0.12, silent=0.02, malformed=0.01, repair=0.8),
    "simulated-middle": Skill(wrong=0.2, crash=0.25, silent=0.05, malformed=0.05, repair=0.6),
    "simulated-weak": Skill(wrong=0.3, crash=0.35, silent=0.08, malformed=0.12, repair=0.35),
}


def load_skills(file: Path) -> dict[str, Skill]:
    """Skills by model name, from a TOML file with a table for each. Raises ``ValueError``."""
    return {
        name: Skill.model_validate(table) for name, table in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }

"""Writes what a simulated model answers: real programs, made from a suite's solutions by what fate has drawn."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from codetree.simulate.skill import USUAL_TEMPERATURE, Fate, Skill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import JsonValue

    from codetree.evaluate.suite import SuiteTask

_REFLECTION = "An earlier program for this task failed"
_STEPWISE = "step by step by running short pieces"
_EVOLVE = "between <prompt> and </prompt>"
_MANY_STEPS = frozenset({"web_browsing"})
_CRASHES = ("KeyError('price')", "TypeError('unsupported operand')", "IndexError('list index out of range')")


@dataclass(frozen=True)
class Ask:
    """One request to a model: its messages as (role, content), and how it is to be sampled."""

    model: str
    messages: Sequence[tuple[str, str]]
    seed: int | None = None
    temperature: float = USUAL_TEMPERATURE


@dataclass
class Writer:
    """``skills`` by model; the tasks are recognised by their text in the prompt. Same request, same answer.

    A request without a seed that comes again gets another answer, as from a model that samples.
    """

    skills: Mapping[str, Skill]
    tasks: Iterable[SuiteTask]
    seed: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._by_length = sorted(self.tasks, key=lambda task: -len(task.task))

    def write(self, ask: Ask) -> str:
        """The reply's text. Raises ``KeyError`` for an unknown model."""
        skill = self.skills[ask.model]
        prompt = "\n".join(content for role, content in ask.messages if role == "user")
        system = "\n".join(content for role, content in ask.messages if role == "system")
        luck = self._luck(ask)
        if _EVOLVE in prompt:
            return f"<prompt>Work in your own way number {luck.randrange(10**6)}, and check each step.</prompt>"
        task = next((task for task in self._by_length if task.task in prompt), None)
        if task is None or task.solution is None:
            return _written("I do not know this task.", "raise LookupError('a simulated model knows only its suites')")
        difficulty = random.Random(f"{self.seed}/{ask.model}/{task.id}/{_digest(system)}")  # noqa: S311
        if _STEPWISE in system:
            return self._step(skill, task, ask, luck, difficulty)
        told = _REFLECTION in prompt
        fate = skill.draw(luck, difficulty, told_an_error=told, temperature=ask.temperature)
        return _reply(fate, task, skill, luck)

    def _step(self, skill: Skill, task: SuiteTask, ask: Ask, luck: random.Random, difficulty: random.Random) -> str:
        """A step of an acting model: it looks around for some steps, then tries, then tries again."""
        taken = sum(role == "assistant" for role, _ in ask.messages)
        needed = random.Random(f"{self.seed}/steps/{task.id}").randint(  # noqa: S311
            *((3, 6) if task.family in _MANY_STEPS else (1, 4))
        )
        failed_before = "The step failed" in ask.messages[-1][1]
        fate = skill.draw(luck, difficulty, told_an_error=failed_before, temperature=ask.temperature)
        if taken < needed and fate in {Fate.RIGHT, Fate.WRONG}:
            return _written("Let me look at what there is.", f"print('step {taken + 1}')")
        return _reply(fate, task, skill, luck)

    def _luck(self, ask: Ask) -> random.Random:
        """What a call draws from. A cool model mostly gives a prompt's usual reply, whatever its seed."""
        key = _digest(repr((self.seed, ask.model, ask.seed, list(ask.messages))))
        if ask.seed is None:
            self._seen[key] += 1
        own = f"{key}/{self._seen[key]}"
        coolness = 1 - ask.temperature / USUAL_TEMPERATURE
        if coolness > 0 and random.Random(f"cool/{own}").random() < coolness:  # noqa: S311
            own = _digest(repr((self.seed, ask.model, list(ask.messages))))
        return random.Random(own)  # noqa: S311


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _written(thought: str, code: str) -> str:
    return f"<thought>\n{thought}\n</thought>\n<execute>\n{code.rstrip()}\n</execute>"


def _reply(fate: Fate, task: SuiteTask, skill: Skill, luck: random.Random) -> str:
    if fate is Fate.MALFORMED:
        return "First I would look at the functions, and then I would compute the answer with them."
    own_way = f"attempt = {luck.randrange(10**6)}\n"
    thought = f"This is a simulated model's plan for the task {task.id}."
    program = (task.solution or "").replace("final_answer(", "finish(")
    return _written(thought, own_way + _finish(fate, task, skill, luck) + program)


def _finish(fate: Fate, task: SuiteTask, skill: Skill, luck: random.Random) -> str:
    """How a right program ends when fate has it otherwise: its tools are called all the same."""
    if fate is Fate.RIGHT:
        return "finish = final_answer\n"
    if fate is Fate.CRASH:
        return f"\n\ndef finish(value):\n    raise {luck.choice(_CRASHES)}\n\n\n"
    if fate is Fate.SILENT:
        return "\n\ndef finish(value):\n    print(value)\n\n\n"
    usual = luck.random() < skill.agreement
    wrong = spoilt(task.expected, 1 if usual else luck.randint(2, 9))
    return f"\n\ndef finish(value):\n    final_answer({wrong!r})\n\n\n"


def spoilt(value: JsonValue, how: int) -> JsonValue:
    """A wrong answer of the same type; ``how`` chooses which."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + how
    if isinstance(value, str):
        return f"{value} {how}"
    if isinstance(value, list):
        return [*value[1:], how]
    if isinstance(value, dict):
        return {**value, "wrong": how}
    return how

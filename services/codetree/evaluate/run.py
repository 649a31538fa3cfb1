"""Run a suite: one episode for each task, contender and repeat. What is done is kept and not done again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from codetree.engine.answers import AnswerFormat, AnswerType
from codetree.engine.budget import Limits
from codetree.engine.episode import run_episode
from codetree.engine.outcome import StopReason
from codetree.engine.spec import EpisodeSpec
from codetree.evaluate.score import tolerant, upstream
from codetree.llm.pool import resolve_models
from codetree.schemas.requests import ModelRequest
from codetree.tools.python_source import python_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from codetree.engine.outcome import EpisodeResult
    from codetree.engine.ports import Executor
    from codetree.evaluate.contenders import Contender
    from codetree.evaluate.suite import Suite, SuiteTask
    from codetree.llm.pool import ModelPool
    from codetree.llm.providers import Providers

Result = dict[str, Any]
_OUTAGES = frozenset({StopReason.PROVIDER_ERROR, StopReason.EXECUTOR_ERROR})


class Evaluation:
    """One suite, its contenders, and the file of results: JSON Lines, one episode a line, written as each ends."""

    def __init__(
        self,
        suite: Suite,
        contenders: Sequence[Contender],
        *,
        providers: Providers,
        new_executor: Callable[[], Executor],
        results: Path,
        repeats: int = 1,
        seed: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.suite = suite
        self.contenders = contenders
        self._providers = providers
        self._new_executor = new_executor
        self._results = results
        self._repeats = repeats
        self._seed = seed
        self._limits = limits or Limits()
        self.outages: list[str] = []

    async def run(self, jobs: int, report: Callable[[int, int], object] = lambda *_: None) -> list[Result]:
        """Every result, those of earlier runs included; ``jobs`` episodes run at once.

        An episode that an outage left without an answer says nothing of its contender: it is no result, is told in
        ``outages``, and is run again by the next run.

        Raises ``PoolError`` before anything is run when a contender's models are not to be had.
        """
        for contender in self.contenders:
            self._pool(contender)
        earlier = read_results(self._results)
        self._results.write_text("".join(_line(result) for result in earlier), encoding="utf-8")
        known = {_key(result): result for result in earlier}
        plan = list(self._plan())
        waiting = [each for each in plan if _name(*each) not in known]
        gate, done = asyncio.Semaphore(jobs), len(plan) - len(waiting)

        async def one(task: SuiteTask, contender: Contender, repeat: int) -> None:
            nonlocal done
            async with gate:
                result, outage = await self._episode(task, contender, repeat)
            done += 1
            report(done, len(plan))
            if outage is not None:
                self.outages.append(outage)
                return
            with self._results.open("a", encoding="utf-8") as file:
                file.write(_line(result))
            known[_key(result)] = result

        async with asyncio.TaskGroup() as group:
            for each in waiting:
                group.create_task(one(*each))
        return [known[_name(*each)] for each in plan if _name(*each) in known]

    def _pool(self, contender: Contender) -> ModelPool:
        return resolve_models([ModelRequest(name=name) for name in contender.models], self._providers)

    def _plan(self) -> Iterator[tuple[SuiteTask, Contender, int]]:
        for contender in self.contenders:
            for repeat in range(self._repeats):
                for task in self.suite.tasks:
                    yield task, contender, repeat

    async def _episode(self, task: SuiteTask, contender: Contender, repeat: int) -> tuple[Result, str | None]:
        pool = self._pool(contender)
        spec = EpisodeSpec(
            task=task.task,
            models=pool.models,
            policy=contender.policy,
            tools=tuple(python_tool(tool.name, tool.description, tool.source) for tool in self.suite.tools(task)),
            limits=self._limits,
            answer_format=AnswerFormat(AnswerType(task.answer_format.type), task.answer_format.tolerance),
            seed=_seed(self._seed, task.id, repeat),
        )
        executor = self._new_executor()
        started = time.monotonic()
        try:
            episode = await run_episode(spec, llm=pool, executor=executor)
        finally:
            if close := getattr(executor, "aclose", None):
                await close()
        result = _result(self.suite, task, contender, repeat, episode, time.monotonic() - started)
        return result, episode.error if episode.stop_reason in _OUTAGES else None


def _result(
    suite: Suite, task: SuiteTask, contender: Contender, repeat: int, episode: EpisodeResult, seconds: float
) -> Result:
    usage = episode.usage
    return {
        "suite": suite.name,
        "task": task.id,
        "family": task.family,
        "policy": contender.policy_name,
        "models": contender.models_name,
        "repeat": repeat,
        "upstream": episode.succeeded and upstream(task, episode.answer),
        "tolerant": episode.succeeded and tolerant(task, episode.answer),
        "answered": episode.succeeded,
        "answer": episode.answer,
        "stop_reason": episode.stop_reason.value,
        "turns": sum(_turns_of_layer(episode, layer) for layer in {node.layer for node in episode.nodes}),
        "llm_calls": usage.llm_calls,
        "programs": usage.programs,
        "tokens": usage.tokens,
        "output_tokens": usage.output_tokens,
        "money_usd": usage.money_usd,
        "estimated": usage.estimated,
        "seconds": round(seconds, 3),
    }


def _turns_of_layer(episode: EpisodeResult, layer: int) -> int:
    """Turns that follow one another: those of a layer are taken at once, its repair turns after them."""
    return max(node.turns for node in episode.nodes if node.layer == layer)


def read_results(file: Path) -> list[Result]:
    """Whole lines only: a run that was killed may have left half a line."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def _line(result: Result) -> str:
    return json.dumps(result, ensure_ascii=False) + "\n"


def _seed(seed: int, task: str, repeat: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{task}/{repeat}".encode()).digest()[:6], "big")


def _name(task: SuiteTask, contender: Contender, repeat: int) -> tuple[str, str, str, int]:
    return task.id, contender.policy_name, contender.models_name, repeat


def _key(result: Result) -> tuple[str, str, str, int]:
    return result["task"], result["policy"], result["models"], result["repeat"]

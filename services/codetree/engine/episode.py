"""One Tree-of-Code episode (arXiv 2412.15305): grow the tree layer by layer, then let its successes vote.

The result depends only on the spec and on what the ports answer for each key, never on the order in which they answer.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from codetree.engine.budget import Ledger, Limit
from codetree.engine.events import Event, EventType
from codetree.engine.evolve import fill_pool
from codetree.engine.grow import Grower, Seedling
from codetree.engine.journal import MemoryJournal
from codetree.engine.outcome import EpisodeResult, StopReason, best_attempt, natural_stop
from codetree.engine.prompts import PROMPT_VERSION
from codetree.engine.toolbox import NoServices, Toolbox
from codetree.engine.tree import Node, NodeStatus, breadth_first, layer_of, parent_of
from codetree.engine.values import CallKey, Usage
from codetree.engine.vote import count_votes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import JsonValue

    from codetree.engine.ports import LLM, Executor, Journal, Services
    from codetree.engine.replay import Replay
    from codetree.engine.spec import EpisodeSpec


async def run_episode(
    spec: EpisodeSpec,
    *,
    llm: LLM,
    executor: Executor,
    journal: Journal | None = None,
    elapsed_seconds: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    replay: Replay | None = None,
    services: Services | None = None,
) -> EpisodeResult:
    """Run ``spec`` to its end, resuming what ``journal`` remembers of it.

    ``elapsed_seconds`` is what earlier attempts used of ``limits.wall_seconds``. Outages of a model or of the executor
    are part of the result (``stop_reason``); cancellation and whatever the journal raises propagate as they are.
    ``replay``: the episode is one that ended before; the clock and the outages are its own. ``services`` stand behind
    the hosted functions of its tools.
    """
    journal, ledger = journal or MemoryJournal(), Ledger(spec.limits)
    toolbox = Toolbox(spec, llm, services or NoServices(), journal, ledger)
    episode = _Episode(Grower(spec, llm, executor, journal, toolbox, replay=replay), ledger, clock, elapsed_seconds)
    try:
        return await episode.run()
    except BaseExceptionGroup as group:
        raise _first(group) from group
    finally:
        await toolbox.aclose()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error a caller can catch: of several nodes failing together, the first one's."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Episode:
    def __init__(self, grower: Grower, ledger: Ledger, clock: Callable[[], float], elapsed_seconds: float) -> None:
        self._grower = grower
        self._spec = grower.spec
        self._journal = grower.journal
        self._clock = clock
        self._started = clock() - elapsed_seconds
        self._ledger = ledger
        self._nodes: dict[str, Node] = {}
        self._first_with: dict[str, str] = {}

    async def run(self) -> EpisodeResult:
        await self._emit(EventType.EPISODE_STARTED, policy=self._spec.policy.kind.value)
        await self._explore_prompts()
        stop: StopReason | None = None
        paths = self._spec.policy.roots()
        while paths and stop is None:
            layer = layer_of(paths[0])
            await self._emit(EventType.LAYER_STARTED, layer, nodes=len(paths))
            stop = await self._grow_layer(paths)
            await self._report(layer)
            paths = self._spec.policy.next_layer(layer, self._layer(layer))
            if paths and stop is None and self._quorum_reached():
                stop = StopReason.QUORUM
        return await self._finish(stop or natural_stop(self._ordered(), self._spec.policy.max_layers))

    async def _explore_prompts(self) -> None:
        """Fill the prompt pool, at the cost of a model call for each evolved variant."""
        remaining_seconds = self._remaining_seconds()
        pool, usage = await fill_pool(self._grower, self._ledger, remaining_seconds)
        self._ledger.settle(usage)
        self._grower = replace(self._grower, prompts=pool)
        if len(pool.variants) > 1:
            variants: dict[str, JsonValue] = {variant.name: variant.guidance for variant in pool.variants}
            await self._emit(EventType.PROMPTS_READY, prompts=variants)

    def _quorum_reached(self) -> bool:
        quorum = self._spec.policy.quorum
        if quorum is None:
            return False
        votes = count_votes(self._ordered(), self._spec.answer_format).votes
        return bool(votes) and votes[0].count >= quorum

    async def _grow_layer(self, paths: Sequence[str]) -> StopReason | None:
        """Grow a layer in waves: reserve as many nodes as fit, grow them, settle, and see how many more fit then."""
        waiting = [Seedling(path, self._ancestors(path)) for path in paths]
        while waiting:
            wave, refused = self._reserve(waiting)
            if refused and not wave:
                return StopReason.budget(refused)
            grown = await self._mark_duplicates(await self._grow_wave(wave))
            self._ledger.settle(sum((node.usage for node in grown), Usage()))
            if any(node.status is NodeStatus.ABANDONED for node in grown):
                return StopReason.BUDGET_WALL_SECONDS
            waiting = waiting[len(wave) :]
            if waiting and self._quorum_reached():
                return StopReason.QUORUM
        return None

    def _reserve(self, waiting: Sequence[Seedling]) -> tuple[list[Seedling], Limit | None]:
        """Seedlings whose worst case fits, in node order, and the limit that kept the others out.

        First turns come before repair turns: one more program is worth more than a second chance for another.
        """
        if self._remaining_seconds() == 0 or self._replay_ran_out(waiting[0].path):
            return [], Limit.WALL_SECONDS
        wave: list[Seedling] = []
        refused = None
        for seedling in waiting:
            refused = self._ledger.reserve(self._grower.first_turn_cost(seedling))
            if refused:
                break
            wave.append(seedling)
        return [self._with_repair(seedling) for seedling in wave], refused

    def _with_repair(self, seedling: Seedling) -> Seedling:
        return replace(seedling, may_repair=self._ledger.reserve(self._grower.repair_cost(seedling)) is None)

    async def _grow_wave(self, wave: Sequence[Seedling]) -> list[Node]:
        """Grow concurrently; at the wall-clock limit whatever is still in flight is cancelled and abandoned."""
        await self._plant(wave)
        gate = asyncio.Semaphore(self._spec.concurrency)
        try:
            async with asyncio.timeout(self._remaining_seconds()), asyncio.TaskGroup() as group:
                for seedling in wave:
                    group.create_task(self._grow_one(seedling, gate))
        except TimeoutError:
            await self._abandon(wave)
        return [self._nodes[seedling.path] for seedling in wave]

    async def _mark_duplicates(self, grown: Sequence[Node]) -> list[Node]:
        """Programs equal to an earlier node's, in node order: they cost no execution of their own."""
        marked = []
        for node in grown:
            if node.execution is not None and node.fingerprint is not None:
                first = self._first_with.setdefault(node.fingerprint, node.path)
                if first != node.path:
                    marked.append(replace(node, duplicate_of=first, usage=replace(node.usage, programs=0)))
                    continue
            marked.append(node)
        for node in marked:
            self._nodes[node.path] = node
            if node.duplicate_of is not None:
                await self._journal.node_changed(node)
        return marked

    async def _plant(self, wave: Sequence[Seedling]) -> None:
        """Show the nodes as queued, but for those that an earlier attempt already took further."""
        planted = [self._grower.plant(seedling) for seedling in wave]
        self._nodes.update((node.path, node) for node in planted)
        new = [node for node in planted if await self._journal.recall_reply(CallKey(node.path, 1)) is None]
        for node in new:
            await self._journal.node_changed(node)

    async def _grow_one(self, seedling: Seedling, gate: asyncio.Semaphore) -> None:
        async with gate:
            self._nodes[seedling.path] = await self._grower.grow(seedling)

    async def _abandon(self, wave: Sequence[Seedling]) -> None:
        """Cancelled calls may still be billed, so an abandoned node is charged its whole reservation."""
        for seedling in wave:
            if self._nodes[seedling.path].status is not NodeStatus.QUEUED:
                continue
            cost = self._grower.first_turn_cost(seedling)
            if seedling.may_repair:
                cost = cost + self._grower.repair_cost(seedling)
            for turn in (1, 2):
                cost = cost + await self._grower.toolbox.close(CallKey(seedling.path, turn))
            node = replace(
                self._nodes[seedling.path],
                status=NodeStatus.ABANDONED,
                error="the episode's wall_seconds ran out",
                usage=replace(cost, estimated=True),
            )
            self._nodes[node.path] = node
            await self._journal.node_changed(node)

    async def _finish(self, stop: StopReason) -> EpisodeResult:
        nodes = self._ordered()
        votes, decided_by = count_votes(nodes, self._spec.answer_format)
        attempt = None if votes else best_attempt(nodes)
        result = EpisodeResult(
            succeeded=bool(votes),
            answer=votes[0].answer if votes else None,
            decided_by=decided_by,
            votes=votes,
            stop_reason=stop,
            best_attempt=attempt.path if attempt else None,
            error=None if votes else _why_none(nodes, stop),
            usage=self._ledger.spent,
            nodes=nodes,
            prompt_version=PROMPT_VERSION,
            prompts=self._grower.prompts.variants,
        )
        await self._emit(EventType.EPISODE_FINISHED, succeeded=result.succeeded, stop_reason=stop.value)
        return result

    async def _report(self, layer: int) -> None:
        spent = self._ledger.spent
        await self._emit(
            EventType.BUDGET_UPDATED,
            layer,
            llm_calls=spent.llm_calls,
            programs=spent.programs,
            tokens=spent.tokens,
            money_usd=spent.money_usd,
        )
        votes = count_votes(self._ordered(), self._spec.answer_format).votes
        clusters: list[JsonValue] = [{"answer": vote.answer, "count": vote.count} for vote in votes]
        await self._emit(EventType.VOTE_UPDATED, layer, votes=clusters)

    async def _emit(self, kind: EventType, layer: int | None = None, **data: JsonValue) -> None:
        if layer is None:
            await self._journal.emit(Event(kind, kind.value, data))
        else:
            await self._journal.emit(Event(kind, f"{kind.value}:{layer}", {"layer": layer, **data}))

    def _ancestors(self, path: str) -> tuple[Node, ...]:
        parent = parent_of(path)
        return (*self._ancestors(parent), self._nodes[parent]) if parent else ()

    def _ordered(self) -> tuple[Node, ...]:
        return tuple(sorted(self._nodes.values(), key=lambda node: breadth_first(node.path)))

    def _layer(self, layer: int) -> list[Node]:
        return [node for node in self._ordered() if node.layer == layer]

    def _replay_ran_out(self, path: str) -> bool:
        replay = self._grower.replay
        return replay is not None and replay.ran_out_before(path)

    def _remaining_seconds(self) -> float | None:
        limit = self._spec.limits.wall_seconds if self._grower.replay is None else None
        return None if limit is None else max(0.0, limit - (self._clock() - self._started))


def _why_none(nodes: Sequence[Node], stop: StopReason) -> str:
    """One sentence for an episode without an answer."""
    if not nodes:
        return f"no program was written: the limit allows none ({stop.value})"
    errors = [node.error for node in nodes if node.error]
    last = f"; the last error was: {errors[-1]}" if errors else ""
    return f"none of {len(nodes)} programs ran to an answer ({stop.value}){last}"

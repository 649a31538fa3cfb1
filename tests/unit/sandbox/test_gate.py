from __future__ import annotations

import asyncio

import pytest

from kit.problems import Problem
from sandbox.gate import Gate


class Runs:
    """Requests of named owners, each of which runs until it is told to end."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.started: list[str] = []
        self.ends: list[asyncio.Event] = []

    def ask(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._run(name))

    async def _run(self, name: str) -> None:
        async with self.gate.slot(name[0]):
            self.started.append(name)
            self.ends.append(asyncio.Event())
            await self.ends[-1].wait()

    async def end_all(self, tasks: list[asyncio.Task[None]]) -> None:
        """End the oldest run again and again, so that one waiting request starts at a time."""
        ended = 0
        while not all(task.done() for task in tasks):
            await settle()
            if ended < len(self.ends):
                self.ends[ended].set()
                ended += 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slots_go_round_between_owners_and_in_order_within_one() -> None:
    runs = Runs(Gate(1, 10, 10))
    tasks = []
    for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        tasks.append(runs.ask(name))
        await settle()
    await runs.end_all(tasks)
    assert runs.started == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert runs.gate.running == runs.gate.waiting == 0


async def test_a_free_slot_goes_to_whom_fewest_run_for() -> None:
    runs = Runs(Gate(3, 10, 10))
    tasks = []
    for name in ("a1", "a2", "b1", "a3", "b2"):
        tasks.append(runs.ask(name))
        await settle()
    runs.ends[2].set()  # b's only one
    await settle()
    assert runs.started[3] == "b2"
    await runs.end_all(tasks)


async def test_a_full_queue_takes_a_newcomer_in_exchange_for_the_fullest_owners_newest() -> None:
    runs = Runs(Gate(1, 3, 10))
    tasks = []
    for name in ("a1", "a2", "a3", "a4", "b1"):
        tasks.append(runs.ask(name))
        await settle()
    assert tasks[3].done()
    refusal = tasks[3].exception()
    assert isinstance(refusal, Problem)
    assert refusal.status == 503
    late = runs.ask("a5")
    await settle()
    assert isinstance(late.exception(), Problem)
    await runs.end_all([task for index, task in enumerate(tasks) if index != 3])
    assert runs.started == ["a1", "a2", "b1", "a3"]


async def test_one_owner_alone_fills_the_queue_and_is_then_refused() -> None:
    runs = Runs(Gate(1, 1, 10))
    tasks = [runs.ask("a1"), runs.ask("a2")]
    await settle()
    with pytest.raises(Problem, match="1 requests wait already"):
        async with runs.gate.slot("a"):
            pass
    await runs.end_all(tasks)


async def test_waiting_too_long_is_refused_and_forgotten() -> None:
    gate = Gate(1, 5, 0.01)
    async with gate.slot("a"):
        with pytest.raises(Problem, match="no slot became free"):
            async with gate.slot("b"):
                pass
        assert gate.waiting == 0
    async with gate.slot("b"):
        assert gate.running == 1


async def test_a_caller_that_gives_up_in_the_queue_leaves_no_hole() -> None:
    runs = Runs(Gate(1, 5, 10))
    tasks = [runs.ask("a1"), runs.ask("b1"), runs.ask("c1")]
    await settle()
    tasks[1].cancel()
    await settle()
    await runs.end_all(tasks)
    assert runs.started == ["a1", "c1"]
    assert runs.gate.running == runs.gate.waiting == 0


async def test_a_slot_given_to_a_caller_that_gave_up_at_that_moment_goes_on() -> None:
    runs = Runs(Gate(1, 5, 10))
    tasks = [runs.ask("a1"), runs.ask("b1"), runs.ask("c1")]
    await settle()
    runs.ends[0].set()
    await asyncio.sleep(0)
    tasks[1].cancel()
    await settle()
    await runs.end_all(tasks)
    assert runs.started[-1] == "c1"
    assert runs.gate.running == 0

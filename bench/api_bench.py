"""What the planner's API and its workers bear, on real stores: ``make bench-api``.

``PYTHONPATH=. python bench/api_bench.py [--only NAME] [--out FOLDER]`` writes ``api.json`` and ``api.md`` in about five
minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psycopg
from api_load import Caller, listen, processor_seconds, spread, steadily
from codetree_load import start_stores
from sandbox_load import machine, timed
from tests.support.stack import Stack, running_stack

from devstack.stores.external import libpq_url
from devstack.stores.folder import read_state
from kit.db import make_engine, transaction
from kit.jobs import transitions

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = Path(__file__).parent / "results"
SINGLES = 1000
BATCH_LINES = 10_000
STEADY_SECONDS = 10
LISTENERS = 500
EVENTS = 20
SEARCHES = 1000
WORKERS = (1, 2, 4)
_ENDS = """
SELECT extract(epoch FROM max(finished_at))::float, count(*) FILTER (WHERE status = 'succeeded')
FROM kit.jobs WHERE batch_id = %s
"""
NDJSON = {"Content-Type": "application/x-ndjson"}


def question(number: int) -> dict[str, Any]:
    """A small search; each number is another question."""
    return {
        "model": {"preset": "llama-2-7b"},
        "workload": {"global_batch_size": 64, "sequence_length": 4096, "tokens": 1e9 + number},
        "cluster": {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 8},
        "search": {
            "top_k": 1,
            "space": {
                "micro_batch_size": [1, 2],
                "recompute": ["none", "full"],
                "schedule": ["1f1b"],
                "sharding": ["none", "zero1"],
                "tp_overlap": [False],
                "optimizer_offload": [0.0],
            },
        },
    }


class Bench:
    """One stack for all measurements; each is a method whose name is the figure's."""

    def __init__(self, stack: Stack, database_url: str, stores_pid: int) -> None:
        self.stack = stack
        self.database_url = database_url
        self.stores_pid = stores_pid
        self.port = stack.ports["planner"]
        self.numbers = iter(range(10**9))

    def fresh(self) -> dict[str, Any]:
        return question(next(self.numbers))

    def used(self) -> dict[str, float]:
        """Seconds of processor time by part, so far."""
        parts = {name: processor_seconds(process.pid) for name, process in self.stack.processes.items()}
        return {**parts, "stores": processor_seconds(self.stores_pid)}

    def used_since(self, before: dict[str, float], acts: int) -> dict[str, float]:
        """Milliseconds of processor time by part, for each of so many acts."""
        now = self.used()
        return {f"{name}_cpu_ms": round((now[name] - before.get(name, 0.0)) * 1000 / acts, 2) for name in now}

    async def submissions_single(self) -> dict[str, Any]:
        caller, before = Caller(self.port), self.used()
        measured = await timed(lambda _: caller.posted("/plans", self.fresh()), SINGLES, 8)
        return {**measured.row(), "failed": caller.failed, "callers": 8, **self.used_since(before, SINGLES)}

    async def submissions_batch(self) -> dict[str, Any]:
        body = b"\n".join(
            json.dumps(self.fresh() | {"external_id": f"line-{number}"}).encode() for number in range(BATCH_LINES)
        )
        async with httpx.AsyncClient(base_url=self.stack.url("planner"), timeout=120, trust_env=False) as client:
            started = time.perf_counter()
            answer = await client.post("/batches", content=body, headers=NDJSON)
            seconds = time.perf_counter() - started
            assert answer.json()["accepted"] == BATCH_LINES, answer.text[:500]
            await client.post(f"/batches/{answer.json()['id']}/cancel")
            await _until_ended(client, answer.json()["id"])
        return {"lines": BATCH_LINES, "seconds": round(seconds, 2), "lines_per_second": round(BATCH_LINES / seconds)}

    async def plans_uncached(self) -> dict[str, Any]:
        return await self._steady("/plans", lambda: self.fresh(), 50)  # noqa: PLW0108

    async def plans_cached(self) -> dict[str, Any]:
        """Asked while no worker runs: what earlier measurements left waiting must not be searched beside it."""
        caller, known = Caller(self.port), self.fresh()
        self.stack.start("planner-worker")
        first = await caller.posted("/plans", known | {"priority": 9})
        ended = await caller.read(f"{first['links']['self']}?wait=60")
        assert ended["status"] == "succeeded", ended
        self.stack.kill("planner-worker")
        return await self._steady("/plans", lambda: known, 100)

    async def estimates(self) -> dict[str, Any]:
        body = {name: self.fresh()[name] for name in ("model", "workload", "cluster")}
        body["strategy"] = {"tensor_parallel": 2, "micro_batch_size": 2}
        return await self._steady("/estimates", lambda: body, 50)

    async def status(self) -> dict[str, Any]:
        caller = Caller(self.port)
        path = (await caller.posted("/plans", self.fresh()))["links"]["self"]
        measured = await steadily(lambda _: caller.read(path), 100, STEADY_SECONDS)
        return {**measured.row(), "failed": caller.failed, "asked_per_second": 100}

    async def _steady(self, path: str, body: Callable[[], dict[str, Any]], per_second: float) -> dict[str, Any]:
        caller = Caller(self.port)
        await timed(lambda _: caller.posted(path, body()), 50, 4)
        before = self.used()
        measured = await steadily(lambda _: caller.posted(path, body()), per_second, STEADY_SECONDS)
        used = self.used_since(before, len(measured.milliseconds))
        return {**measured.row(), "failed": caller.failed, "asked_per_second": per_second, **used}

    async def sse_fan_out(self) -> dict[str, Any]:
        """From the moment a worker writes an event until each of its listeners has read it."""
        caller = Caller(self.port)
        job = await caller.posted("/plans", self.fresh())
        engine = make_engine(self.database_url)
        with transaction(engine) as session:
            held = transitions.claim(session, UUID(job["id"]), "bench", timedelta(seconds=120))
        assert held is not None
        milliseconds: list[float] = []
        path = f"{job['links']['self']}/events"

        def heard(data: dict[str, Any], now: float) -> None:
            milliseconds.append((now - data["sent"]) * 1000)

        listeners = [asyncio.create_task(listen(self.port, path, "bench.tick", heard)) for _ in range(LISTENERS)]
        await asyncio.sleep(5)
        for _ in range(EVENTS):
            await asyncio.to_thread(_tick, engine, held)
            await asyncio.sleep(1.0)
        with transaction(engine) as session:
            transitions.fail(session, held, {"type": "bench", "title": "bench", "detail": "the bench is over"})
        await asyncio.wait_for(asyncio.gather(*listeners), 30)
        engine.dispose()
        assert len(milliseconds) == LISTENERS * EVENTS, f"{len(milliseconds)} events were heard"
        return {**spread(milliseconds), "max_ms": round(max(milliseconds), 1), "listeners": LISTENERS, "events": EVENTS}

    async def searches_end_to_end(self) -> dict[str, Any]:
        """Small searches in a batch: until the last has ended, from the start of the workers and from the request.

        What earlier measurements left waiting is searched before.
        """
        figures: dict[str, Any] = {"searches": SEARCHES}
        async with httpx.AsyncClient(base_url=self.stack.url("planner"), timeout=120, trust_env=False) as client:
            self._start_workers(max(WORKERS))
            await self._ended_at(client, await self._send(client, 1))
            self._kill_workers(max(WORKERS))
            for count in WORKERS:
                figures |= await self._searches(client, count)
        return figures

    async def _searches(self, client: httpx.AsyncClient, workers: int) -> dict[str, Any]:
        """The workers are started while one batch waits; they stand ready when the next is sent."""
        waiting, started = await self._send(client, SEARCHES), time.time()
        self._start_workers(workers)
        from_start = await self._ended_at(client, waiting) - started
        before, sent = self.used(), time.time()
        ready = await self._ended_at(client, await self._send(client, SEARCHES)) - sent
        used = self.used_since(before, SEARCHES)
        self._kill_workers(workers)
        return {
            f"per_second_with_{workers}_workers": round(SEARCHES / ready, 1),
            f"per_second_from_start_of_{workers}_workers": round(SEARCHES / from_start, 1),
            f"cpu_ms_with_{workers}_workers": round(sum(used.values()), 2),
            **(used if workers == 1 else {}),
        }

    async def _send(self, client: httpx.AsyncClient, searches: int) -> str:
        body = b"\n".join(json.dumps(self.fresh()).encode() for _ in range(searches))
        return str((await client.post("/batches", content=body, headers=NDJSON)).json()["id"])

    async def _ended_at(self, client: httpx.AsyncClient, batch: str) -> float:
        """When the last job of the batch ended; all have succeeded."""
        answer = await _until_ended(client, batch)
        with psycopg.connect(libpq_url(self.database_url)) as connection:
            ended_at, succeeded = connection.execute(_ENDS, [batch]).fetchone() or (0.0, 0)
        assert succeeded == answer["accepted"], answer
        return float(ended_at)

    def _start_workers(self, count: int) -> None:
        for number in range(count):
            self.stack.start(f"planner-worker-{number}", like="planner-worker")

    def _kill_workers(self, count: int) -> None:
        for number in range(count):
            self.stack.kill(f"planner-worker-{number}")


def _tick(engine: Any, held: transitions.Claim) -> None:
    with transaction(engine) as session:
        transitions.emit(session, held, "bench.tick", {"sent": time.time()})


async def _until_ended(client: httpx.AsyncClient, batch: str) -> dict[str, Any]:
    while True:
        answer: dict[str, Any] = (await client.get(f"/batches/{batch}", params={"wait": 60})).json()
        if answer["status"] == "finished":
            return answer


MEASUREMENTS = (
    "submissions_single",
    "submissions_batch",
    "plans_uncached",
    "plans_cached",
    "estimates",
    "status",
    "sse_fan_out",
    "searches_end_to_end",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="measurements whose name holds this text")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    about = {**machine(), "command": "make bench-api"}
    figures: dict[str, Any] = {}
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="astrolabe-bench-")))
        database_url, redis_url = start_stores(folder, cleanup)
        settings = {"ASTROLABE_RATE_LIMIT": "1000000/minute", "ASTROLABE_LOG_LEVEL": "WARNING"}
        settings |= {"ASTROLABE_HEARTBEAT_SECONDS": "3", "ASTROLABE_LEASE_SECONDS": "12"}
        stack = cleanup.enter_context(running_stack(database_url, redis_url, ("planner", "relay"), **settings))
        bench = Bench(stack, database_url, int(str(read_state(folder / "stores")["launcher_pid"])))
        for name in (name for name in MEASUREMENTS if given.only in name):
            figures[name] = asyncio.run(getattr(bench, name)())
            print(name, figures[name], flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "api.json").write_text(json.dumps({"machine": about, "figures": figures}, indent=1) + "\n")
    (given.out / "api.md").write_text(table(about, figures))


def table(about: dict[str, Any], figures: dict[str, Any]) -> str:
    head = (
        f"`{about['command']}` at {about['commit']} on {about['date']}: {about['cores']} cores ({about['cpu']}), "
        f"Python {about['python']}, load average before {about['load_average_before']}. Server, stores, workers and "
        "callers share the cores."
    )
    lines = ["# The planner's API", "", head, "", "| what | figures |", "|---|---|"]
    for name, row in figures.items():
        lines.append(f"| {name.replace('_', ' ')} | {', '.join(f'{key}: {value}' for key, value in row.items())} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

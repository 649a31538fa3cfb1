"""What a node costs outside the model and the sandbox, whose answers here take no time.

``PYTHONPATH=. python bench/codetree_overhead.py [--episodes 60]`` writes ``results/codetree-overhead.json``:
milliseconds a node, with a journal in memory and with the one in Postgres, run one episode after the other through the
worker's own job runner.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bench.codetree_load import start_stores
from bench.sandbox_load import machine
from pydantic import SecretStr
from tests.support.episodes import Replies, spec

from codetree import store
from codetree.engine import Execution, ExecutionStatus, MemoryJournal, TreePolicy, run_episode
from codetree.journal import DatabaseJournal
from kit.db import make_engine, transaction
from kit.jobs import Submission, submit
from kit.settings import JobSettings
from kit.worker import JobContext, Leases, Outcome, run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from codetree.engine import EpisodeResult, Journal, Program, ToolHost

POLICY = TreePolicy(root_width=3, branching=2, max_layers=3)
REPLY = (
    "<thought>\nA plan of some length.\n</thought>\n<execute>\nresult = {}[{path!r}]\nfinal_answer(result)\n</execute>"
)


class Failing:
    """Every program fails at once, so that the tree is full."""

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        del host
        return Execution(ExecutionStatus.ERROR, exit_code=1, stderr=f"KeyError: {program.key.path!r}")


def reply(path: str, turn: int) -> str:
    del turn
    return REPLY.replace("{path!r}", repr(path))


async def episode(journal: Journal) -> EpisodeResult:
    return await run_episode(spec(policy=POLICY), llm=Replies(reply), executor=Failing(), journal=journal)


def in_memory(episodes: int) -> tuple[float, float]:
    def run() -> None:
        for _ in range(episodes):
            asyncio.run(episode(MemoryJournal()))

    return _milliseconds(run, episodes)


def _milliseconds(run: Callable[[], None], episodes: int) -> tuple[float, float]:
    """Wall clock and CPU time of this process, for each node."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    nodes = episodes * POLICY.max_programs
    return (
        round((time.perf_counter() - wall) * 1000 / nodes, 2),
        round((time.process_time() - processor) * 1000 / nodes, 2),
    )


def in_postgres(episodes: int, engine: Engine, settings: JobSettings) -> tuple[float, float]:
    def handler(context: JobContext) -> Outcome:
        async def run() -> EpisodeResult:
            return await episode(DatabaseJournal(context))

        return Outcome(partial(_store, context.job_id, asyncio.run(run())))

    ids = [_submitted(engine) for _ in range(episodes)]

    def run_all() -> None:
        with Leases(engine, settings) as leases:
            for job_id in ids:
                run_job(engine, settings, handler, job_id, leases)

    return _milliseconds(run_all, episodes)


def _submitted(engine: Engine) -> UUID:
    with transaction(engine) as session:
        job = submit(session, Submission("codetree", "bench", {}, 1)).job
        store.add_episodes(session, [job.id])
        return job.id


def _store(job_id: UUID, result: EpisodeResult, session: Any) -> None:
    store.save_result(session, job_id, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    episodes = given.episodes
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="astrolabe-bench-")))
        database_url, redis_url = start_stores(folder, cleanup)
        engine = make_engine(database_url)
        cleanup.callback(engine.dispose)
        settings = JobSettings(database_url=SecretStr(database_url), redis_url=SecretStr(redis_url))
        memory, postgres = in_memory(episodes), in_postgres(episodes, engine, settings)
        figures = {
            "nodes_per_episode": POLICY.max_programs,
            "episodes": episodes,
            "engine_milliseconds_per_node": {"wall": memory[0], "processor": memory[1]},
            "postgres_milliseconds_per_node": {"wall": postgres[0], "processor": postgres[1]},
            "machine": {
                **machine(),
                "command": f"PYTHONPATH=. python bench/codetree_overhead.py --episodes {episodes}",
            },
        }
    (given.out / "codetree-overhead.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

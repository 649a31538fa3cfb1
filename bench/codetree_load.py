"""Many episodes at once through the whole stack: real stores, real worker, real jails, and a model that takes its time.

``PYTHONPATH=. python bench/codetree_load.py [--episodes 500] [--workers 2] [--latency-seconds 1]`` writes
``results/codetree-load.json``. It ends after ``MOST_SECONDS`` whatever happens.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from bench.sandbox_load import machine
from tests.support.stack import COMMANDS, Stack, running_stack

from codetree.evaluate.suite import load_suite
from devstack.offspring import descendants
from devstack.stores.external import libpq_url
from devstack.stores.folder import read_state
from kit.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

POLICY = {"kind": "programs", "count": 2}
POLL_SECONDS = 0.5
MOST_SECONDS = 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--latency-seconds", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="astrolabe-bench-")))
        database_url, redis_url = start_stores(folder, cleanup)
        model_port = start_model(given.latency_seconds, folder, cleanup)
        workers = [f"codetree-worker-{number}" for number in range(1, given.workers + 1)]
        COMMANDS.update(dict.fromkeys(workers, COMMANDS["codetree-worker"]))
        stack = cleanup.enter_context(
            running_stack(
                database_url,
                redis_url,
                ("sandbox", "codetree", "relay"),
                ASTROLABE_LLM_BASE_URL=f"http://127.0.0.1:{model_port}/v1",
                ASTROLABE_LLM_MODEL="simulated-strong",
                ASTROLABE_EPISODES_PER_WORKER=str(-(-given.episodes // given.workers)),
                ASTROLABE_HEARTBEAT_SECONDS="3",
                ASTROLABE_LEASE_SECONDS="12",
                ASTROLABE_LOG_LEVEL="WARNING",
                ASTROLABE_CODETREE_WORKER_PORT="0",
            )
        )
        figures = measure(stack, database_url, given.episodes, workers)
    command = f"PYTHONPATH=. python bench/codetree_load.py --episodes {given.episodes} --workers {given.workers}"
    figures["machine"] = {**machine(), "command": f"{command} --latency-seconds {given.latency_seconds:g}"}
    (given.out / "codetree-load.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


def start_stores(folder: Path, cleanup: ExitStack) -> tuple[str, str]:
    """Fresh stores that end with this process."""
    folder.chmod(0o755)
    command = [sys.executable, "-m", "devstack", "stores", "--ephemeral", "--data-dir", str(folder / "stores")]
    (folder / "stores").mkdir(mode=0o755)
    process = subprocess.Popen([*command, "--until-exit-of", str(os.getpid())], stdout=subprocess.DEVNULL)
    cleanup.callback(process.wait)
    cleanup.callback(process.terminate)
    while not (state := read_state(folder / "stores")):
        time.sleep(0.05)
    upgrade(str(state["database_url"]))
    return str(state["database_url"]), str(state["redis_url"])


def start_model(latency_seconds: float, folder: Path, cleanup: ExitStack) -> int:
    port = 18_000 + os.getpid() % 1000
    command = [sys.executable, "-m", "codetree", "simulate", "--port", str(port), "--suite", "m3tooleval"]
    log = cleanup.enter_context((folder / "model.log").open("w"))
    process = subprocess.Popen([*command, "--latency-seconds", str(latency_seconds)], stdout=log, stderr=log)
    cleanup.callback(process.wait)
    cleanup.callback(process.terminate)
    return port


def measure(stack: Stack, database_url: str, episodes: int, workers: list[str]) -> dict[str, Any]:
    """Submit all, then start the workers, so that all run at once, and watch until all have ended."""
    with stack.client("codetree") as client, ThreadPoolExecutor(8) as threads:
        started = time.monotonic()
        list(threads.map(lambda body: client.post("/solve", json=body).raise_for_status(), bodies(episodes)))
        submitted_seconds = time.monotonic() - started
    started = time.monotonic()
    for worker in workers:
        stack.start(worker)
    most_running, most_bytes, states = 0, 0, Counter[str]()
    with psycopg.connect(libpq_url(database_url), autocommit=True) as database:
        while sum(states[state] for state in ("succeeded", "failed", "cancelled")) < episodes:
            if time.monotonic() - started > MOST_SECONDS:
                sys.exit(f"not all have ended after {MOST_SECONDS:g} s: {dict(states)}")
            time.sleep(POLL_SECONDS)
            states = Counter(dict(database.execute("SELECT status, count(*) FROM kit.jobs GROUP BY status").fetchall()))
            most_running = max(most_running, states["running"])
            most_bytes = max(most_bytes, worker_bytes(stack))
        seconds = time.monotonic() - started
        used = processor_seconds(stack)
        nodes, retried = database.execute(
            "SELECT (SELECT count(*) FROM codetree.nodes), (SELECT count(*) FROM kit.jobs WHERE attempt > 1)"
        ).fetchone() or (0, 0)
    return {
        "episodes": episodes,
        "policy": POLICY,
        "ended": dict(states),
        "second_attempts": retried,
        "most_running_at_once": most_running,
        "submitting_seconds": round(submitted_seconds, 1),
        "seconds": round(seconds, 1),
        "episodes_per_second": round(episodes / seconds, 2),
        "nodes_per_second": round(nodes / seconds, 2),
        "workers_peak_megabytes": round(most_bytes / 1e6),
        "processor_seconds": used,
    }


def processor_seconds(stack: Stack) -> dict[str, float]:
    """What each part has used since it started, children included; the stores' are those of this process's children."""
    parts = {name: process.pid for name, process in stack.processes.items()}
    totals = {name: _processor_seconds([pid, *descendants(pid)]) for name, pid in parts.items()}
    ours = set(parts.values()) | {pid for top in parts.values() for pid in descendants(top)}
    others = descendants(os.getpid()).items()
    stores = [pid for pid, command in others if pid not in ours and "postgres" in command]
    return {**totals, "postgres": _processor_seconds(stores)}


def _processor_seconds(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return round(ticks / os.sysconf("SC_CLK_TCK"), 1)


def bodies(episodes: int) -> Iterator[dict[str, Any]]:
    suite = load_suite("m3tooleval")
    for number in range(episodes):
        task = suite.tasks[number % len(suite.tasks)]
        tools = [tool.model_dump(mode="json") for tool in suite.tools(task)]
        yield {"task": task.task, "tools": tools, "policy": POLICY, "seed": number}


def worker_bytes(stack: Stack) -> int:
    """Resident memory of the worker processes."""
    pids = [process.pid for name, process in stack.processes.items() if name.startswith("codetree-worker")]
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()

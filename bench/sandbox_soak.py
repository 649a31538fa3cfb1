"""Many executions, a third of them hostile: does anything grow, does anything stay?

``python bench/sandbox_soak.py [--runs 20000] [--out FILE]`` prints and writes the service's memory, descriptors,
processes and control groups at ten points, the count of each status, and what is left at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

from sandbox_load import Client, machine, service, timed

FRIENDLY = [
    "pass",
    "print(sum(range(1000))); final_answer(1)",
    "open('f', 'w').write('x' * 10000); import json; final_answer(json.loads('[1]'))",
    "1/0",
]
HOSTILE = [
    (
        "import os\nfor _ in range(50):\n  try: os.fork()\n  except OSError: pass",
        {"wall_seconds": 0.3, "processes": 16},
    ),
    ("x = b'x' * (100 << 20)", {"memory_bytes": 32 << 20}),
    ("while True: print('x' * 1000)", {"output_bytes": 20_000}),
    ("import subprocess; subprocess.Popen(['sleep', '99'], start_new_session=True)", {}),
    ("import os; os.kill(os.getpid(), 9)", {}),
    ("import ctypes; ctypes.string_at(0)", {}),
    ("while True: pass", {"wall_seconds": 0.1}),
    ("for i in range(10**6): open(f'/tmp/{i}', 'w')", {"wall_seconds": 0.3}),
    ("final_answer(object())", {}),
    ("import os; os.symlink('/etc/passwd', 'a'); os.mkfifo('b')", {}),
]


def snapshot(pid: int) -> dict[str, int]:
    """What the service holds now."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    tree, pending = [], [pid]
    while pending:
        for task in Path(f"/proc/{pending.pop()}/task").glob("*/children"):
            children = [int(child) for child in task.read_text().split()]
            tree += children
            pending += children
    groups = list(Path("/sys/fs/cgroup").glob(f"**/astrolabe-sandbox.{pid}/run-*"))
    return {
        "rss_kib": int(status["VmRSS"].split()[0]),
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "processes_below": len(tree),
        "control_groups": len(groups),
        "zombies": sum(
            "Z" in Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0]
            for one in tree
            if Path(f"/proc/{one}").exists()
        ),
    }


async def soak(pid: int, port: int, runs: int, concurrency: int) -> dict[str, Any]:
    client, statuses, points = Client(port), Counter[str](), []

    async def run(number: int) -> None:
        code, limits = (
            HOSTILE[number // 3 % len(HOSTILE)] if number % 3 == 0 else (FRIENDLY[number % len(FRIENDLY)], {})
        )
        status, answer = await client.post("/executions", {"code": code, "limits": limits, "collect": ["*"]})
        statuses[answer["status"] if status == 200 else str(status)] += 1

    seconds = 0.0
    for part in range(10):
        seconds += (await timed(run, runs // 10, concurrency)).seconds
        await asyncio.sleep(1)
        points.append({"after": (part + 1) * (runs // 10), **snapshot(pid)})
        print(points[-1], flush=True)
    client.close()
    return {
        "seconds": round(seconds, 1),
        "runs_per_second": round(runs / seconds, 1),
        "statuses": dict(statuses),
        "points": points,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sandbox-soak.json")
    chosen = parser.parse_args()
    report: dict[str, Any] = {"machine": machine()}
    with service() as (pid, port):
        report["before"] = snapshot(pid)
        report |= asyncio.run(soak(pid, port, chosen.runs, chosen.concurrency))
    report["groups_after_stop"] = len(list(Path("/sys/fs/cgroup").glob(f"**/astrolabe-sandbox.{pid}")))
    text = json.dumps(report, indent=1)
    print(text)
    chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()

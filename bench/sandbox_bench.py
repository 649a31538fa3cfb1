"""Latency and throughput of the sandbox against the interpreter alone, in one run.

``python bench/sandbox_bench.py [--runs 200] [--python VENV_PYTHON] [--out FILE]``: ``pass``, and with an interpreter
that has them numpy, and pandas with matplotlib; cold (no pool: a jail is made for each request) and pooled, preloaded
or not, at concurrency 1, 2, 8 and 32, each next to plain ``python3 -I -c`` of the same program.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from sandbox_load import Client, machine, service, timed

CONCURRENCIES = (1, 2, 8, 32)
PROGRAMS = {
    "pass": "pass",
    "numpy": "import numpy; numpy.arange(10).sum()",
    "pandas+matplotlib": (
        "import pandas, matplotlib; matplotlib.use('Agg')\nimport matplotlib.pyplot as p\n"
        "pandas.DataFrame({'x': [1, 2]}).plot(); p.close('all')"
    ),
}
PRELOAD = {"pass": [], "numpy": ["numpy"], "pandas+matplotlib": ["numpy", "pandas", "matplotlib.pyplot"]}


async def plain(python: str, code: str, runs: int, concurrency: int) -> dict[str, float]:
    async def run(_: int) -> None:
        process = await asyncio.create_subprocess_exec(python, "-I", "-c", code)
        assert await process.wait() == 0

    return (await timed(run, runs, concurrency)).row()


async def jailed(port: int, code: str, runs: int, concurrency: int) -> dict[str, float]:
    client = Client(port)

    async def run(_: int) -> None:
        status, answer = await client.post("/executions", {"code": code})
        assert (status, answer.get("status")) == (200, "ok"), (status, answer)

    await timed(run, concurrency, concurrency)
    try:
        return (await timed(run, runs, concurrency)).row()
    finally:
        client.close()


def measure(name: str, python: str, runs: int) -> dict[str, Any]:
    code, rows = PROGRAMS[name], {}
    common = {"ASTROLABE_SANDBOX_PYTHON": python, "ASTROLABE_SANDBOX_QUEUE_SECONDS": "300"}
    kinds = {"cold": {"ASTROLABE_SANDBOX_POOL_SIZE": "0"}, "pooled": {"ASTROLABE_SANDBOX_POOL_SIZE": "8"}}
    if PRELOAD[name]:
        kinds["pooled, preloaded"] = {**kinds["pooled"], "ASTROLABE_SANDBOX_PRELOAD": json.dumps(PRELOAD[name])}
    for concurrency in CONCURRENCIES:
        rows[f"plain interpreter, {concurrency} at once"] = asyncio.run(plain(python, code, runs, concurrency))
    for kind, settings in kinds.items():
        with service(**common, **settings) as (_, port):
            for concurrency in CONCURRENCIES:
                rows[f"{kind}, {concurrency} at once"] = asyncio.run(jailed(port, code, runs, concurrency))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--heavy-runs", type=int, default=24, help="of the programs that import packages")
    parser.add_argument(
        "--python", help="an interpreter with numpy, pandas and matplotlib that an ordinary user can run"
    )
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "pass": measure("pass", "/usr/bin/python3", chosen.runs)}
    for name in ("numpy", "pandas+matplotlib") if chosen.python else ():
        report[name] = measure(name, chosen.python, chosen.heavy_runs)
    text = json.dumps(report, indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()

"""Latency and throughput of the sandbox against the interpreter alone, in one run.

``python bench/sandbox_bench.py [--runs 200] [--heavy-runs 40] [--without-packages] [--out FILE]``: ``pass``; and with
NumPy, pandas and matplotlib in an environment it makes for the time, NumPy alone, and pandas with matplotlib. Cold (no
pool: a jail is made for each request) and pooled, preloaded or not, at concurrency 1, 2, 8 and 32, each right after
plain ``python3 -I -c`` of the same program, to whose median it is compared. The load of the machine is in the file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_load import Client, machine, service, timed

if TYPE_CHECKING:
    from collections.abc import Iterator

CONCURRENCIES = (1, 2, 8, 32)
SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = ("numpy", "pandas", "matplotlib")
RESULTS = Path(__file__).parent / "results"
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
    with contextlib.ExitStack() as services:
        ports = {kind: services.enter_context(service(**common, **kinds[kind]))[1] for kind in kinds}
        for concurrency in CONCURRENCIES:
            alone = asyncio.run(plain(python, code, runs, concurrency))
            rows[f"plain interpreter, {concurrency} at once"] = alone
            for kind, port in ports.items():
                row = asyncio.run(jailed(port, code, runs, concurrency))
                row["of_plain_p50"] = round(row["p50_ms"] / alone["p50_ms"], 2)
                rows[f"{kind}, {concurrency} at once"] = row
    return {"runs": runs, **rows}


@contextlib.contextmanager
def packages() -> Iterator[tuple[str, dict[str, str]]]:
    """An interpreter with the packages that any user may run, and their versions. Not below /tmp, which jails cover."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the jail's user must enter it
        python = f"{folder}/bin/python"
        subprocess.run([SYSTEM_PYTHON, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        ask = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        told = subprocess.run([python, "-c", ask, *PACKAGES], check=True, capture_output=True, text=True)
        yield python, dict(zip(PACKAGES, told.stdout.split(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--heavy-runs", type=int, default=40, help="of the programs that import packages")
    parser.add_argument("--without-packages", action="store_true", help="`pass` alone")
    parser.add_argument("--out", type=Path, default=RESULTS / "sandbox-bench.json")
    chosen = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "pass": measure("pass", SYSTEM_PYTHON, chosen.runs)}
    if not chosen.without_packages:
        with packages() as (python, versions):
            report["machine"] |= {"packages": versions}
            for name in ("numpy", "pandas+matplotlib"):
                report[name] = measure(name, python, chosen.heavy_runs)
    text = json.dumps(report, indent=1)
    print(text)
    chosen.out.write_text(text + "\n")


if __name__ == "__main__":
    main()

"""Latency of the smallest run through the real service, against the interpreter alone.

``python bench/sandbox_latency.py [RUNS]`` prints p50 and p95 in milliseconds and the runs a second at each concurrency.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

CONCURRENCIES = (1, 2, 8)
PLAIN = ["/usr/bin/python3", "-I", "-c", "pass"]


def measure(run: Callable[[], object], runs: int, concurrency: int) -> str:
    def timed(_: int) -> float:
        started = time.perf_counter()
        run()
        return (time.perf_counter() - started) * 1000

    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(timed, range(concurrency)))
        started = time.perf_counter()
        milliseconds = list(pool.map(timed, range(runs)))
        seconds = time.perf_counter() - started
    cuts = statistics.quantiles(milliseconds, n=20)
    return f"p50 {cuts[9]:7.1f}  p95 {cuts[18]:7.1f}  {runs / seconds:7.1f} runs/s"


def start_service() -> tuple[subprocess.Popen[str], str]:
    environment = {**os.environ, "ASTROLABE_SANDBOX_PORT": "0", "ASTROLABE_LOG_LEVEL": "INFO"}
    service = subprocess.Popen([sys.executable, "-m", "sandbox"], env=environment, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    for line in service.stderr:
        if found := re.search(r"running on (http://\S+)", line):
            return service, found[1]
    raise SystemExit("the sandbox did not start")


def main(runs: int) -> None:
    service, url = start_service()
    assert service.stderr is not None
    drain = ThreadPoolExecutor(1)
    drain.submit(service.stderr.read)
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            for concurrency in CONCURRENCIES:
                plain = measure(lambda: subprocess.run(PLAIN, check=True), runs, concurrency)
                jailed = measure(
                    lambda: client.post("/executions", json={"code": "pass"}).json()["usage"], runs, concurrency
                )
                print(f"concurrency {concurrency}\n  plain interpreter  {plain}\n  POST /executions   {jailed}")
    finally:
        service.terminate()
        service.wait()
        drain.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

"""A sandbox under load: the service started, and a client cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@dataclass
class Timed:
    """Latencies of one measurement in milliseconds, and how long all of it took."""

    milliseconds: list[float]
    seconds: float

    def row(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.milliseconds, n=100)
        return {
            "p50_ms": round(cuts[49], 1),
            "p95_ms": round(cuts[94], 1),
            "p99_ms": round(cuts[98], 1),
            "runs_per_second": round(len(self.milliseconds) / self.seconds, 1),
        }


class Client:
    """HTTP/1.1 over kept-alive connections, one request at a time on each."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        while self._free:
            try:
                return await self._ask(*self._free.pop(), path, body)
            except (asyncio.IncompleteReadError, ConnectionError):  # the service closes what was idle for long
                continue
        return await self._ask(*await asyncio.open_connection("127.0.0.1", self._port), path, body)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        headers = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = re.search(rb"content-length: (\d+)", headers)
        answer = await reader.readexactly(int(size[1]) if size else 0)
        self._free.append((reader, writer))
        return int(headers[9:12]), json.loads(answer or b"{}")

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def timed(act: Callable[[int], Coroutine[Any, Any, object]], runs: int, concurrency: int) -> Timed:
    """``runs`` acts, ``concurrency`` at a time."""
    numbers, milliseconds = iter(range(runs)), []

    async def work() -> None:
        for number in numbers:
            started = time.perf_counter()
            await act(number)
            milliseconds.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Timed(milliseconds, time.perf_counter() - started)


@contextlib.contextmanager
def service(**settings: str) -> Iterator[tuple[int, int]]:
    """A running service: its PID and port."""
    environment = {**os.environ, "ASTROLABE_SANDBOX_PORT": "0", "ASTROLABE_LOG_FORMAT": "json", **settings}
    process = subprocess.Popen([sys.executable, "-m", "sandbox"], env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        port = next(
            int(found[1]) for line in process.stderr if (found := re.search(r"running on http://\S+:(\d+)", line))
        )
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": round(os.getloadavg()[0], 2),
    }

"""Load on the APIs: requests at a steady rate, whether or not earlier ones were answered, and many listeners."""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox_load import Client, Timed

from devstack.offspring import descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence


class Caller(Client):
    """A client that also reads, and counts what was not a success."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.failed = 0

    async def get(self, path: str) -> tuple[int, Any]:
        while self._free:
            try:
                return await self._get(*self._free.pop(), path)
            except (asyncio.IncompleteReadError, ConnectionError):
                continue
        return await self._get(*await asyncio.open_connection("127.0.0.1", self._port), path)

    async def _get(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> tuple[int, Any]:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        headers = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = re.search(rb"content-length: (\d+)", headers)
        answer = await reader.readexactly(int(size[1]) if size else 0)
        self._free.append((reader, writer))
        return int(headers[9:12]), json.loads(answer or b"{}")

    async def posted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        status, answer = await self.post(path, body)
        self.failed += status >= 300
        return answer

    async def read(self, path: str) -> Any:
        status, answer = await self.get(path)
        self.failed += status >= 300
        return answer


async def steadily(act: Callable[[int], Coroutine[Any, Any, object]], per_second: float, seconds: float) -> Timed:
    """Acts begun at an even rate. Latency counts from when an act was due: a slow service is not spared its queue."""
    milliseconds: list[float] = []
    started = time.perf_counter()

    async def one(number: int, due: float) -> None:
        await act(number)
        milliseconds.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as acts:
        for number in range(int(per_second * seconds)):
            due = started + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            acts.create_task(one(number, due))
    return Timed(milliseconds, time.perf_counter() - started)


async def listen(port: int, path: str, wanted: str, heard: Callable[[dict[str, Any], float], None]) -> None:
    """Follow a stream of server-sent events until it ends, and report each of kind ``wanted`` with its time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    kind = ""
    while line := await reader.readline():
        if line.startswith(b"event: "):
            kind = line[7:].strip().decode()
        elif line.startswith(b"data: ") and kind == wanted:
            heard(json.loads(line[6:]), time.time())
        elif line == b"0\r\n":
            break
    writer.close()


def processor_seconds(pid: int) -> float:
    """What a process and everything below it have used, those that ended and were waited for included."""
    ticks = 0
    for one in (pid, *descendants(pid)):
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Percentiles of values in milliseconds."""
    cuts = statistics.quantiles(values, n=100)
    return {"p50_ms": round(cuts[49], 1), "p95_ms": round(cuts[94], 1), "p99_ms": round(cuts[98], 1)}

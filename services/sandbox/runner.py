"""One execution from end to end: jail, job, watch, verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.jail.faults import JailStartError
from sandbox.jail.process_tree import ProcessTree
from sandbox.limits import rlimits
from sandbox.paths import pattern_expression
from sandbox.report import Ended, collected_files, parse_result, read_end
from sandbox.verdict import Evidence, Verdict, judge

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sandbox.jail.counted import Counter
    from sandbox.jail.jailer import Jailer
    from sandbox.jail.process import JailProcess
    from sandbox.limits import Limits
    from sandbox.report import CollectedFile
    from sandbox.verdict import Stop

_SAMPLING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run: source, standard input, input files and the patterns of files wanted back."""

    code: str
    stdin: str = ""
    files: list[tuple[str, bytes]] = field(default_factory=list)
    collect: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Collection:
    """How much may be collected from one run, and how long that may take."""

    files: int
    total_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything one execution came to. Sizes in bytes, times in milliseconds."""

    verdict: Verdict
    stdout: bytes = b""
    stderr: bytes = b""
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    result_given: bool = False
    result: JsonValue = None
    files: list[CollectedFile] = field(default_factory=list)
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    max_rss_bytes: int | None = None
    oom_killed: bool = False


async def execute(jailer: Jailer, program: Program, limits: Limits, collection: Collection) -> Outcome:
    """Run ``program`` in a jail of its own and say how it ended. Cancelling kills it.

    A jail that does not come up is the status ``sandbox_error``: nothing ran.
    """
    try:
        with contextlib.ExitStack() as held:
            group = held.enter_context(jailer.cgroups.run_group(limits)) if jailer.cgroups else None
            async with jailer.start(limits) as jail:
                if group:
                    await group.enclose(jail, jailer.start_seconds)
                else:
                    await jail.ready(jailer.start_seconds)
                await jail.submit(_job(jailer, program, limits, collection))
                return await _Run(jail, limits, collection, group or ProcessTree(jail.init_pid)).outcome()
    except (JailStartError, OSError) as error:
        return Outcome(Verdict("sandbox_error", str(error)))


def _job(jailer: Jailer, program: Program, limits: Limits, collection: Collection) -> dict[str, object]:
    return {
        "code": program.code,
        "stdin": program.stdin,
        "files": program.files,
        "rlimits": rlimits(limits, memory_is_counted=jailer.cgroups is not None),
        "result_bytes": jailer.result_bytes,
        "collect": {
            "patterns": [pattern_expression(pattern) for pattern in program.collect],
            "files": collection.files,
            "total_bytes": collection.total_bytes,
        },
    }


class _Run:
    """One run while it is watched."""

    def __init__(self, jail: JailProcess, limits: Limits, collection: Collection, counter: Counter) -> None:
        self._jail = jail
        self._limits = limits
        self._collection = collection
        self._counter = counter
        self._stop: Stop | None = None

    async def outcome(self) -> Outcome:
        started = time.perf_counter()
        ended = await self._ended()
        wall_ms = (time.perf_counter() - started) * 1000
        files = await collected_files(self._jail, self._collection.seconds) if ended else []
        self._jail.kill()
        await self._jail.finished()
        return self._concluded(ended, files, wall_ms)

    async def _ended(self) -> Ended | None:
        """The guest's report, unless a limit is broken first; then ``_stop`` says which."""
        report = asyncio.create_task(read_end(self._jail))
        stops = [asyncio.create_task(self._output_exceeded()), asyncio.create_task(self._use_exceeded())]
        waits = {report, *stops}
        try:
            done, _ = await asyncio.wait(waits, timeout=self._limits.wall_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if report in done:
            return report.result()
        self._stop = next((stop.result() for stop in stops if stop in done), "wall")
        return None

    async def _output_exceeded(self) -> Stop:
        await self._jail.output_exceeded.wait()
        return "output"

    async def _use_exceeded(self) -> Stop:
        while True:
            await asyncio.sleep(_SAMPLING_SECONDS)
            used = self._counter.counted()
            if used.oom_kills or used.peak_bytes > self._limits.memory_bytes:
                return "memory"
            if used.cpu_seconds >= self._limits.cpu_seconds:
                return "cpu"

    def _concluded(self, ended: Ended | None, files: list[CollectedFile], wall_ms: float) -> Outcome:
        jail, used = self._jail, self._counter.counted()
        if jail.stdout.truncated or jail.stderr.truncated:
            self._stop = self._stop or "output"
        answer = parse_result(bytes(jail.result.data))
        cpu_seconds = max(used.cpu_seconds, ended.cpu_seconds if ended else jail.cpu_seconds)
        wait_status = ended.wait_status if ended else None
        evidence = Evidence(self._stop, wait_status, used.oom_kills, cpu_seconds, answer.ran_out_of_memory)
        return Outcome(
            verdict=judge(evidence, self._limits),
            stdout=bytes(jail.stdout.data),
            stderr=bytes(jail.stderr.data),
            stdout_truncated=jail.stdout.truncated,
            stderr_truncated=jail.stderr.truncated,
            result_given=answer.given,
            result=answer.value,
            files=files,
            wall_ms=wall_ms,
            cpu_ms=cpu_seconds * 1000,
            max_rss_bytes=max(used.peak_bytes, ended.peak_bytes if ended else 0) or None,
            oom_killed=bool(used.oom_kills),
        )

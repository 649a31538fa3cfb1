"""One execution from end to end: a jail from the pool, the job, the watch, the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.jail.faults import GuestProtocolError, JailStartError
from sandbox.limits import rlimits
from sandbox.paths import pattern_expression
from sandbox.report import Ended, collected_files, parse_result, read_end
from sandbox.tools import Connection, ToolBroker
from sandbox.verdict import Evidence, Verdict, judge
from sandbox.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic import JsonValue

    from sandbox.backend import Jail
    from sandbox.limits import Limits
    from sandbox.pool import Pool
    from sandbox.report import CollectedFile
    from sandbox.tools import ToolCall


@dataclass(frozen=True, slots=True)
class Program:
    """What is to be run: source, standard input, input files, the patterns of files wanted back, the tools it may call.

    ``figures``: whether matplotlib figures left open are wanted as PNG files.
    """

    code: str
    stdin: str = ""
    files: list[tuple[str, bytes]] = field(default_factory=list)
    collect: list[str] = field(default_factory=list)
    figures: bool = False
    tools: ToolBroker = field(default_factory=ToolBroker.none)


@dataclass(frozen=True, slots=True)
class Collection:
    """How much may be collected from one run, and how long that may take."""

    files: int
    total_bytes: int
    seconds: float

    def wanted(self, patterns: Sequence[str], *, figures: bool = False) -> dict[str, object]:
        """As PID 1 of a jail is told."""
        patterns = [*patterns, *(["figure-*.png"] if figures else [])]
        return {
            "patterns": [pattern_expression(pattern) for pattern in patterns],
            "files": self.files,
            "total_bytes": self.total_bytes,
        }


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
    tool_calls: list[ToolCall] = field(default_factory=list)


async def execute(
    pool: Pool, program: Program, limits: Limits, collection: Collection, *, result_bytes: int
) -> Outcome:
    """Run ``program`` in a jail of its own and say how it ended. Cancelling kills it.

    A jail that does not come up, or that is not to be believed, is the status ``sandbox_error``.
    """
    try:
        jail = await pool.take(limits)
        try:
            job = one_shot_job(program, limits, result_bytes, memory_is_counted=pool.memory_is_counted)
            calls = bool(program.tools.specs)
            started = time.perf_counter()
            await jail.submit(job, limits, result_bytes=result_bytes, calls=calls)
            async with _serving_tools(jail, program.tools):
                return await _watched(jail, program, limits, collection, started)
        finally:
            pool.give_back(jail)
    except (JailStartError, GuestProtocolError, OSError) as error:
        return Outcome(Verdict("sandbox_error", str(error)))


def one_shot_job(program: Program, limits: Limits, result_bytes: int, *, memory_is_counted: bool) -> dict[str, object]:
    """The job as the program's process takes it."""
    return {
        "session": False,
        "code": program.code,
        "stdin": program.stdin,
        "files": program.files,
        "figures": program.figures,
        "tools": program.tools.as_told_to_guest(),
        "rlimits": rlimits(limits, memory_is_counted=memory_is_counted),
        "result_bytes": result_bytes,
    }


@contextlib.asynccontextmanager
async def _serving_tools(jail: Jail, tools: ToolBroker) -> AsyncIterator[None]:
    if jail.calls is None:
        yield
        return
    serving = asyncio.create_task(tools.serve(Connection(jail.calls)))
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _watched(jail: Jail, program: Program, limits: Limits, collection: Collection, started: float) -> Outcome:
    watch = Watch(jail, limits)
    ended = await watch.until(read_end(jail))
    wall_ms = (time.perf_counter() - started) * 1000
    files: list[CollectedFile] = []
    if ended is None:
        jail.kill()
    elif program.collect or program.figures:
        wanted = collection.wanted(program.collect, figures=program.figures)
        files = await collected_files(jail, wanted, collection.seconds)
    await jail.finished()
    return _concluded(jail, watch, limits, ended, files, wall_ms, program.tools.calls)


def _concluded(
    jail: Jail,
    watch: Watch,
    limits: Limits,
    ended: Ended | None,
    files: list[CollectedFile],
    wall_ms: float,
    tool_calls: list[ToolCall],
) -> Outcome:
    used = watch.used()
    answer = parse_result(bytes(jail.result.data))
    cpu_seconds = max(used.cpu_seconds, ended.cpu_seconds if ended else 0.0)
    evidence = Evidence(
        watch.stop_or_truncated(),
        ended.wait_status if ended else None,
        used.oom_kills,
        cpu_seconds,
        answer.ran_out_of_memory,
    )
    return Outcome(
        verdict=judge(evidence, limits),
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
        tool_calls=tool_calls,
    )

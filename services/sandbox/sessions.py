"""Sessions: an interpreter in a jail of its own keeps its state between executions, until it ends or is left idle."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kit.problems import Problem
from sandbox.jail.faults import GuestProtocolError
from sandbox.limits import rlimits
from sandbox.report import Ended, collected_files, parse_result, read_end
from sandbox.runner import Outcome
from sandbox.tools import Connection, ToolBroker
from sandbox.verdict import Evidence, Verdict, judge
from sandbox.watch import Watch

if TYPE_CHECKING:
    from sandbox.backend import Jail
    from sandbox.limits import Lifetime, Limits
    from sandbox.pool import Pool
    from sandbox.report import CollectedFile
    from sandbox.runner import Collection, Program

_GRACE_SECONDS = 1.0


class Session:
    """One session. One execution at a time; ``end`` at any time."""

    def __init__(
        self, owner: str, jail: Jail, limits: Limits, lifetime: Lifetime, collection: Collection, result_bytes: int
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.owner = owner
        self.limits = limits
        self.lifetime = lifetime
        self.created_at = datetime.now(UTC)
        self.executions = 0
        self.busy = False
        self.ended: str | None = None
        self._jail = jail
        self._collection = collection
        self._result_bytes = result_bytes
        self._tools = ToolBroker.none()
        self._cell_ended: asyncio.Future[int] | None = None
        self._closing: asyncio.Task[None] | None = None
        assert jail.calls is not None  # noqa: S101 - every session's jail is given one
        self._connection = Connection(jail.calls)
        self._deadline = time.monotonic() + lifetime.total_seconds
        self._idle_since = time.monotonic()
        self._idle = asyncio.Event()
        self._idle.set()
        self._serving = asyncio.create_task(self._serve())

    def seconds_left(self) -> float:
        """Until it ends by itself, if nothing more is run in it."""
        now = time.monotonic()
        idle_left = self.lifetime.idle_seconds - (0 if self.busy else now - self._idle_since)
        return min(idle_left, self._deadline - now)

    def expires_at(self) -> datetime:
        """When it ends by itself, if nothing more is run in it."""
        return datetime.now(UTC) + timedelta(seconds=max(0.0, self.seconds_left()))

    async def run(self, program: Program, limits: Limits) -> Outcome:
        """Run one cell. Cancelling it ends the session: nobody would know what state it is in."""
        if self.busy:
            raise Problem(409, "session-busy", "The session is busy", "an execution is going on in it; wait for it")
        self.busy = True
        self._idle.clear()
        try:
            return await self._run(program, limits)
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            await self._close("its execution was cancelled" if cancelled else str(error))
            if isinstance(error, GuestProtocolError):
                return Outcome(Verdict("sandbox_error", str(error)))
            raise
        finally:
            self.busy = False
            self._idle.set()
            self._idle_since = time.monotonic()

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in what runs."""
        if self.busy:
            await self._jail.ask(b"I", {})

    async def end(self, reason: str) -> None:
        """End it, now, for this reason; the first one stands. What runs in it is killed, and answered for first."""
        self.ended = self.ended or reason
        self._jail.kill()
        await self._idle.wait()
        await self._close(reason)

    async def _close(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._serving.cancel()
        # Its time may be up while it is deleted: a jail is closed once, for all who wait for that.
        if self._closing is None:
            self._closing = asyncio.create_task(self._jail.close())
        await asyncio.shield(self._closing)

    async def _serve(self) -> None:
        """Answer the interpreter's tool calls, with the tools of the cell that runs, and note the ends of cells."""
        while (message := await self._connection.receive()) is not None:
            if "call" in message:
                await self._connection.send(await self._tools.answer(message))
            elif self._cell_ended is not None and not self._cell_ended.done() and message.get("end") == self.executions:
                code = message.get("exit_code")
                self._cell_ended.set_result(code & 0xFF if isinstance(code, int) else 1)

    async def _run(self, program: Program, limits: Limits) -> Outcome:
        jail = self._jail
        for drain, limit in self._drains(limits):
            drain.begin(limit)
        self.executions += 1
        self._tools = program.tools
        self._cell_ended = asyncio.get_running_loop().create_future()
        watch = Watch(jail, limits, before=jail.counted())
        started = time.perf_counter()
        await self._connection.send(_cell(self.executions, program))
        end = await watch.until(self._end())
        if end is None and watch.stop is not None:
            end = await self._interrupted()
        wall_ms = (time.perf_counter() - started) * 1000
        if not isinstance(end, int):
            await self._jail_ended(end, watch)
        files = await self._collected(program, end)
        return self._concluded(watch, limits, end, files, wall_ms)

    def _drains(self, limits: Limits) -> list[tuple[Any, int]]:
        jail = self._jail
        return [
            (jail.stdout, limits.output_bytes),
            (jail.stderr, limits.output_bytes),
            (jail.result, self._result_bytes + 2),
        ]

    async def _end(self) -> int | Ended | None:
        """The cell's exit code, or how the interpreter's process ended; None when the jail is gone."""
        assert self._cell_ended is not None  # noqa: S101 - set before
        process = asyncio.create_task(read_end(self._jail))
        try:
            waits: set[asyncio.Future[Any]] = {process, self._cell_ended}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return self._cell_ended.result() if self._cell_ended.done() else process.result()
        finally:
            process.cancel()
            await asyncio.gather(process, return_exceptions=True)

    async def _interrupted(self) -> int | Ended | None:
        """Interrupt the cell; if it does not obey, None."""
        await self._jail.ask(b"I", {})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_SECONDS):
                return await self._end()
        return None

    async def _jail_ended(self, end: Ended | None, watch: Watch) -> None:
        """The interpreter is gone, or must go."""
        if end is not None:
            reason = "its interpreter ended"
        else:
            reason = "it did not stop when interrupted" if watch.stop else "its jail was ended"
        self.ended = self.ended or reason
        self._jail.kill()
        await self._jail.finished()

    async def _collected(self, program: Program, end: int | Ended | None) -> list[CollectedFile]:
        if not isinstance(end, int) or not (program.collect or program.figures):
            return []
        wanted = self._collection.wanted(program.collect, figures=program.figures)
        return await collected_files(self._jail, wanted, self._collection.seconds)

    def _concluded(
        self, watch: Watch, limits: Limits, end: int | Ended | None, files: list[CollectedFile], wall_ms: float
    ) -> Outcome:
        used = watch.used()
        stdout, stderr, result = (drain.take() for drain, _ in self._drains(limits))
        answer = parse_result(result)
        wait_status = end << 8 if isinstance(end, int) else end.wait_status if end else None
        stop = watch.stop_or_truncated()
        evidence = Evidence(stop, wait_status, used.oom_kills, used.cpu_seconds, answer.ran_out_of_memory)
        return Outcome(
            verdict=judge(evidence, dataclasses.replace(limits, memory_bytes=self.limits.memory_bytes)),
            stdout=stdout,
            stderr=stderr,
            stdout_truncated=self._jail.stdout.truncated,
            stderr_truncated=self._jail.stderr.truncated,
            result_given=answer.given,
            result=answer.value,
            files=files,
            wall_ms=wall_ms,
            cpu_ms=used.cpu_seconds * 1000,
            max_rss_bytes=used.peak_bytes or None,
            oom_killed=bool(used.oom_kills),
            tool_calls=self._tools.calls,
        )


def _cell(number: int, program: Program) -> dict[str, Any]:
    return {
        "cell": number,
        "code": program.code,
        "stdin": program.stdin,
        "files": [(path, content.hex()) for path, content in program.files],
        "figures": program.figures,
        "tools": program.tools.as_told_to_guest(),
    }


class Sessions:
    """Every open session, the owners' own to see, each ended when its time is up."""

    def __init__(self, most: int, collection: Collection, result_bytes: int) -> None:
        self._most = most
        self._collection = collection
        self._result_bytes = result_bytes
        self._open: dict[str, Session] = {}
        self._starting = 0
        self._timers: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def create(
        self, owner: str, pool: Pool, limits: Limits, lifetime: Lifetime, files: list[tuple[str, bytes]]
    ) -> Session:
        """Start one. Raises the 503 problem when as many as may be are open."""
        if len(self._open) + self._starting >= self._most:
            detail = f"{self._most} sessions are open; delete one, or come back"
            raise Problem(503, "overloaded", "The sandbox is busy", detail, headers={"Retry-After": "5"})
        self._starting += 1
        try:
            jail = await pool.take(limits)
            try:
                job = self._job(limits, lifetime, files, memory_is_counted=pool.memory_is_counted)
                await jail.submit(job, limits, result_bytes=self._result_bytes, calls=True)
            except BaseException:
                await jail.close()
                raise
        finally:
            self._starting -= 1
        session = Session(owner, jail, limits, lifetime, self._collection, self._result_bytes)
        self._open[session.id] = session
        self._timers[session.id] = asyncio.create_task(self._expire(session))
        return session

    def get(self, owner: str, session_id: str) -> Session:
        """An open session of this owner. Raises the 404 problem."""
        session = self._open.get(session_id)
        if session is None or session.owner != owner:
            raise Problem(
                404,
                "no-such-session",
                "There is no such session",
                "it was never made, has ended, or belongs to another owner; make a new one with POST /sessions",
            )
        return session

    def of(self, owner: str) -> list[Session]:
        """This owner's open sessions, oldest first."""
        return [session for session in self._open.values() if session.owner == owner]

    async def end(self, session: Session, reason: str) -> None:
        """End one and forget it."""
        self._open.pop(session.id, None)
        timer = self._timers.pop(session.id, None)
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()
        await session.end(reason)

    async def close(self) -> None:
        """End all."""
        for session in list(self._open.values()):
            await self.end(session, "the service stops")

    def _job(
        self, limits: Limits, lifetime: Lifetime, files: list[tuple[str, bytes]], *, memory_is_counted: bool
    ) -> dict[str, object]:
        """The session's job: no program yet, and CPU time for all that may be run in it."""
        whole = dataclasses.replace(limits, cpu_seconds=lifetime.total_seconds * limits.processes)
        return {
            "session": True,
            "code": "",
            "stdin": "",
            "files": files,
            "figures": False,
            "tools": [],
            "rlimits": rlimits(whole, memory_is_counted=memory_is_counted),
            "result_bytes": self._result_bytes,
        }

    async def _expire(self, session: Session) -> None:
        while (left := session.seconds_left()) > 0 and session.ended is None:  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(min(left, 1.0))
        await self.end(session, "its time is up")

"""What a request needs, put together: confinement, the gate, the sessions, the way to the callers' tools."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from fastapi import Request

from kit.problems import FieldError, Problem, invalid_request
from sandbox import metrics
from sandbox.auth import require_token
from sandbox.limits import Limits, resolve, resolve_in_session
from sandbox.runner import Collection, Outcome, Program, execute
from sandbox.tools import ToolBroker, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from sandbox.confinement import Confinement
    from sandbox.gate import Gate
    from sandbox.schemas import ExecutionRequest, InputFile, RequestedTool
    from sandbox.sessions import Session, Sessions
    from sandbox.settings import SandboxSettings

CLIENT_CLOSED_REQUEST = 499
OWNER_HEADER = "x-astrolabe-owner"
_MAX_OWNER_LENGTH = 128
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Service:
    """The running service, kept on the application's state."""

    settings: SandboxSettings
    confinement: Confinement
    gate: Gate
    sessions: Sessions
    http: httpx.AsyncClient

    async def run(self, owner: str, program: Program, limits: Limits) -> Outcome:
        """Run a program in a jail of its own, when it is its owner's turn."""
        pool = await self.confinement.pool()
        async with self.gate.slot(owner):
            outcome = await execute(
                pool, program, limits, self.collection(), result_bytes=self.settings.sandbox_result_bytes
            )
        metrics.count(outcome)
        return outcome

    async def run_in(self, session: Session, program: Program, limits: Limits) -> Outcome:
        """Run a program in its owner's session, when it is that owner's turn."""
        async with self.gate.slot(session.owner):
            try:
                outcome = await session.run(program, limits)
            finally:
                if session.ended is not None:
                    await self.sessions.end(session, session.ended)
        metrics.count(outcome)
        return outcome

    def collection(self) -> Collection:
        """How much may be collected from a run."""
        settings = self.settings
        return Collection(
            settings.sandbox_collect_files, settings.sandbox_collect_bytes, settings.sandbox_collect_seconds
        )

    def program(self, wanted: ExecutionRequest, limits: Limits) -> Program:
        """The program asked for. Raises the problem that names what cannot be."""
        tools = ToolBroker([self._tool(number, tool) for number, tool in enumerate(wanted.tools)], self.http)
        files = decoded_files(wanted.files, limits)
        return Program(wanted.code, wanted.stdin, files, wanted.collect, wanted.figures, tools)

    def limits(self, wanted: ExecutionRequest, session: Session | None) -> Limits:
        """What the run may use."""
        requested = wanted.limits.model_dump()
        if session is not None:
            return resolve_in_session(requested, session.limits, self.settings)
        return resolve(requested, self.settings)

    def _tool(self, number: int, tool: RequestedTool) -> ToolSpec:
        if not any(_is_at(tool.url, origin) for origin in self.settings.tool_origins()):
            field = FieldError(
                field=f"tools.{number}.url",
                message="is not at an origin this service may call",
                value=tool.url,
                remedy="add its origin to ASTROLABE_SANDBOX_TOOL_ORIGINS",
            )
            raise invalid_request([field])
        return ToolSpec(
            tool.name,
            tool.url,
            tool.headers,
            tool.parameter_names(),
            tool.description,
            min(tool.timeout_seconds, self.settings.sandbox_max_tool_seconds),
            min(tool.max_calls, self.settings.sandbox_max_tool_calls),
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and of whom: the running service, and on whose behalf, which turns and sessions are kept by."""

    service: Service
    owner: str


async def caller_of(request: Request) -> Caller:
    """The caller, who may use the service. Raises the problem for a missing token, or for an owner's unusable name."""
    service: Service = request.app.state.service
    require_token(request, service.settings.sandbox_token)
    owner = request.headers.get(OWNER_HEADER, "")
    if len(owner) > _MAX_OWNER_LENGTH or not (owner.isascii() and (owner.isprintable() or not owner)):
        field = FieldError(
            field="X-Astrolabe-Owner",
            message=f"is not up to {_MAX_OWNER_LENGTH} visible ASCII characters",
            remedy="send a shorter plain name, or none",
        )
        raise invalid_request([field])
    return Caller(service, owner)


def decoded_files(wanted: Sequence[InputFile], limits: Limits) -> list[tuple[str, bytes]]:
    """Paths and contents. Raises the problem when they would not fit the working directory."""
    files = [(file.path, file.decoded()) for file in wanted]
    occupied = sum(-(-len(content) // _PAGE_BYTES) * _PAGE_BYTES for _, content in files)
    if occupied > limits.disk_bytes:
        message = f"the files take {occupied} bytes, over limits.disk_bytes of {limits.disk_bytes}"
        remedy = "send less, or raise limits.disk_bytes"
        raise invalid_request([FieldError(field="files", message=message, remedy=remedy)])
    return files


async def unless_disconnected(request: Request, running: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The outcome; a caller that goes away meanwhile takes its run with it."""
    gone = asyncio.create_task(_disconnected(request))
    try:
        async with asyncio.timeout(None) as present:
            gone.add_done_callback(lambda _: _expire(present))
            return await running
    except TimeoutError:
        if not present.expired():
            raise
        detail = "the run was killed"
        raise Problem(CLIENT_CLOSED_REQUEST, "client-closed-request", "The caller went away", detail) from None
    finally:
        gone.cancel()


def _expire(scope: asyncio.Timeout) -> None:
    with contextlib.suppress(RuntimeError):  # it was left already
        scope.reschedule(0)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_at(url: str, origin: str) -> bool:
    """Whether ``url`` lies at ``origin``; an origin without a port means any port, and the host ``*`` any host."""
    try:
        asked, allowed = httpx.URL(url), httpx.URL(origin)
    except httpx.InvalidURL:
        return False
    if asked.userinfo or not asked.host or asked.scheme != allowed.scheme or allowed.host not in {"*", asked.host}:
        return False
    any_port = allowed.port is None and not origin.rstrip("/").endswith((":80", ":443"))
    return any_port or asked.port == allowed.port

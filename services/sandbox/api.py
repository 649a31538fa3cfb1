"""The HTTP face: parse, authorise, run, render."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request

from kit.problems import FieldError, Problem, invalid_request
from sandbox.auth import require_token
from sandbox.limits import Limits, resolve
from sandbox.runner import Collection, Outcome, Program, execute
from sandbox.schemas import (
    ExecutionAnswer,
    ExecutionRequest,
    Isolation,
    OutputFile,
    Truncated,
    Usage,
)

if TYPE_CHECKING:
    from sandbox.confinement import Confinement
    from sandbox.gate import Gate
    from sandbox.jail.jailer import Jailer
    from sandbox.report import CollectedFile
    from sandbox.settings import SandboxSettings

_PAGE_BYTES = 4096
CLIENT_CLOSED_REQUEST = 499

router = APIRouter(tags=["executions"])


@dataclass(frozen=True, slots=True)
class Service:
    """What a request needs, kept on the application's state."""

    settings: SandboxSettings
    confinement: Confinement
    gate: Gate


def service_of(request: Request) -> Service:
    """The running service, for a caller that may use it."""
    service: Service = request.app.state.service
    require_token(request, service.settings.sandbox_token)
    return service


@router.post("/executions", summary="Run one Python program in a jail of its own")
async def create_execution(
    request: Request, wanted: ExecutionRequest, service: Annotated[Service, Depends(service_of)]
) -> ExecutionAnswer:
    """Answers 200 however the program ends: `status` says how. `final_answer(value)` is defined in the program."""
    limits = resolve(wanted.limits.model_dump(), service.settings)
    program = _program(wanted, limits)
    jailer = await service.confinement.jailer()
    run = asyncio.create_task(_run(service, jailer, program, limits))
    outcome = await _unless_disconnected(request, run)
    return _answer(outcome, jailer)


def _program(wanted: ExecutionRequest, limits: Limits) -> Program:
    files = [(file.path, file.decoded()) for file in wanted.files]
    occupied = sum(-(-len(content) // _PAGE_BYTES) * _PAGE_BYTES for _, content in files)
    if occupied > limits.disk_bytes:
        message = f"the files take {occupied} bytes, over limits.disk_bytes of {limits.disk_bytes}"
        remedy = "send less, or raise limits.disk_bytes"
        raise invalid_request([FieldError(field="files", message=message, remedy=remedy)])
    return Program(wanted.code, wanted.stdin, files, wanted.collect)


async def _run(service: Service, jailer: Jailer, program: Program, limits: Limits) -> Outcome:
    settings = service.settings
    collection = Collection(
        settings.sandbox_collect_files, settings.sandbox_collect_bytes, settings.sandbox_collect_seconds
    )
    async with service.gate.slot():
        return await execute(jailer, program, limits, collection)


async def _unless_disconnected(request: Request, run: asyncio.Task[Outcome]) -> Outcome:
    """The outcome; a caller that goes away meanwhile takes its run with it."""
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({run, gone}, return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            return run.result()
        raise Problem(CLIENT_CLOSED_REQUEST, "client-closed-request", "The caller went away", "the run was killed")
    finally:
        run.cancel()
        gone.cancel()
        await asyncio.gather(run, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(outcome: Outcome, jailer: Jailer) -> ExecutionAnswer:
    return ExecutionAnswer(
        status=outcome.verdict.status,
        reason=outcome.verdict.reason,
        exit_code=outcome.verdict.exit_code,
        signal=outcome.verdict.signal,
        stdout=outcome.stdout.decode(errors="replace"),
        stderr=outcome.stderr.decode(errors="replace"),
        truncated=Truncated(stdout=outcome.stdout_truncated, stderr=outcome.stderr_truncated),
        result=outcome.result,
        result_given=outcome.result_given,
        files=[_file(file) for file in outcome.files],
        usage=Usage(
            wall_ms=round(outcome.wall_ms, 1),
            cpu_ms=round(outcome.cpu_ms, 1),
            max_rss_bytes=outcome.max_rss_bytes,
            oom_killed=outcome.oom_killed,
        ),
        isolation=Isolation.model_validate(jailer.describe()),
    )


def _file(file: CollectedFile) -> OutputFile:
    """As text where it is text, so that what comes out can be sent in again as it is."""
    if file.content is None:
        return OutputFile(path=file.path, size_bytes=file.size_bytes, omitted=file.omitted)
    try:
        text = file.content.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(file.content).decode()
        return OutputFile(path=file.path, size_bytes=file.size_bytes, encoding="base64", content=encoded)
    return OutputFile(path=file.path, size_bytes=file.size_bytes, encoding="utf-8", content=text)

"""What the sandbox is sent and what it answers: the part of its contract that the engine needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from codetree.engine.ports import ExecutorError
from codetree.engine.values import Execution, ExecutionStatus
from codetree.text import storable, storable_json
from codetree.tools.bundle import TOOLS_FOLDER, bundle
from codetree.transport import TransientError, is_transient, retry_after_seconds

if TYPE_CHECKING:
    import httpx

    from codetree.engine.values import Hosted, Program
    from codetree.gateway import Door

OUTPUT_BYTES = 256 * 1024
_MAX_MESSAGE_CHARACTERS = 500


class _Truncated(BaseModel):
    stdout: bool = False
    stderr: bool = False


class _Measured(BaseModel):
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    max_rss_bytes: int | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: ExecutionStatus | Literal["sandbox_error"]
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: _Truncated = _Truncated()
    result: JsonValue = None
    result_given: bool = False
    usage: _Measured = _Measured()


def execution_request(program: Program) -> dict[str, JsonValue]:
    """A program on its own, with the tools that the host calls for it."""
    code, files = bundle(program)
    return {
        "code": code,
        "files": [{"path": path, "content": content} for path, content in files.items()],
        "limits": step_limits(program),
        "tools": host_tools(program),
    }


def step_request(program: Program, code: str, session: str) -> dict[str, JsonValue]:
    """One step in a session."""
    return {"code": code, "session": session, "limits": step_limits(program), "tools": host_tools(program)}


def host_tools(program: Program, door: Door | None = None) -> list[JsonValue]:
    """The functions that the sandbox service calls for the program: at their URLs, and hosted ones at an open door."""
    called: list[JsonValue] = [
        {
            "name": tool.name,
            "description": tool.description,
            "url": tool.endpoint.url,
            "parameters": tool.endpoint.parameters,
            "timeout_seconds": tool.endpoint.timeout_seconds,
            "max_calls": tool.endpoint.max_calls,
        }
        for tool in program.tools
        if tool.endpoint is not None
    ]
    if door is None:
        return called
    return [*called, *(_at(door, function) for tool in program.tools for function in tool.hosted)]


def _at(door: Door, function: Hosted) -> JsonValue:
    return {
        "name": function.name,
        "description": function.description,
        "url": door.url,
        "headers": {"Authorization": f"Bearer {door.token}"},
        "parameters": function.parameters,
        "timeout_seconds": function.timeout_seconds,
        "max_calls": function.max_calls,
    }


def session_request(program: Program) -> dict[str, JsonValue]:
    """A session that has the program's tools among its files."""
    files: list[JsonValue] = [
        {"path": f"{TOOLS_FOLDER}/{tool.name}.py", "content": tool.source} for tool in program.tools if tool.source
    ]
    return {"files": files}


def step_limits(program: Program) -> dict[str, JsonValue]:
    """The limits of one run."""
    return {
        "wall_seconds": program.wall_seconds,
        "cpu_seconds": program.wall_seconds,
        "output_bytes": OUTPUT_BYTES,
    }


def read_execution(body: bytes) -> Execution:
    """The outcome in an answer. Raises ``TransientError`` when the sandbox, not the program, is at fault."""
    try:
        answer = _Answer.model_validate(storable_json(json.loads(body)))
    except (ValueError, RecursionError, ValidationError) as error:
        raise TransientError(ExecutorError("the sandbox's answer can't be read")) from error
    if answer.status == "sandbox_error":
        reason = (answer.reason or answer.stderr)[:_MAX_MESSAGE_CHARACTERS] or "no reason given"
        raise TransientError(ExecutorError(f"the sandbox could not run the program: {reason}"))
    return Execution(
        status=answer.status,
        reason=answer.reason,
        exit_code=answer.exit_code,
        signal=answer.signal,
        stdout=answer.stdout,
        stderr=answer.stderr,
        stdout_truncated=answer.truncated.stdout,
        stderr_truncated=answer.truncated.stderr,
        result_given=answer.result_given,
        result=answer.result,
        wall_ms=answer.usage.wall_ms,
        cpu_ms=answer.usage.cpu_ms,
        max_rss_bytes=answer.usage.max_rss_bytes,
    )


def refusal(response: httpx.Response, body: bytes) -> Exception:
    """The error for a status that is not success, wrapped when another attempt may help."""
    said = body[:_MAX_MESSAGE_CHARACTERS].decode(errors="replace")
    error = ExecutorError(f"the sandbox answered {response.status_code}: {storable(said)}")
    if is_transient(response.status_code):
        return TransientError(error, retry_after_seconds(response.headers))
    return error

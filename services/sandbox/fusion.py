"""``POST /run_code``: the request and answer of SandboxFusion, for Python, so that its clients can use this service.

Shapes as of https://github.com/bytedance/SandboxFusion (Apache-2.0): HTTP 200 however the program ends.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.limits import Limits, clamp
from sandbox.paths import check_input_path
from sandbox.runner import Outcome, Program
from sandbox.schemas import MAX_FILES, refuse_conflicts
from sandbox.service import Caller, caller_of, unless_disconnected

if TYPE_CHECKING:
    from sandbox.settings import SandboxSettings

MEBIBYTE = 1 << 20

router = APIRouter(tags=["SandboxFusion"])


class RunCodeRequest(BaseModel):
    """SandboxFusion's request. Times in seconds; a limit over this service's maximum is lowered to it."""

    model_config = ConfigDict(extra="ignore")

    code: str
    language: Literal["python"] = "python"
    stdin: str | None = None
    files: dict[str, str | None] = Field(default={}, max_length=MAX_FILES, description="path to base64")
    fetch_files: list[str] = Field(default=[], max_length=32)
    run_timeout: float = Field(default=10.0, gt=0)
    compile_timeout: float = Field(default=10.0, gt=0, description="Python needs none; taken and ignored")
    memory_limit_MB: int = Field(default=-1, description="-1: this service's default")  # noqa: N815 - the protocol's name

    @field_validator("files")
    @classmethod
    def _files_decode_and_stay_inside(cls, files: dict[str, str | None]) -> dict[str, str | None]:
        for path, content in files.items():
            check_input_path(path)
            try:
                base64.b64decode(content or "", validate=True)
            except binascii.Error as error:
                raise ValueError(f"{path!r} is not base64: {error}") from None
        refuse_conflicts([check_input_path(path) for path in files])
        return files

    @field_validator("fetch_files")
    @classmethod
    def _fetched_stay_inside(cls, paths: list[str]) -> list[str]:
        for path in paths:
            if check_input_path(path) and set(path) & {"*", "?"}:
                raise ValueError(f"{path!r} is a pattern; name each file")
        return paths


class RunResult(BaseModel):
    """How the program ended."""

    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: float | None
    return_code: int | None
    stdout: str
    stderr: str


class RunCodeAnswer(BaseModel):
    """SandboxFusion's answer."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str
    compile_result: None = None
    run_result: RunResult | None
    executor_pod_name: None = None
    files: dict[str, str]


@router.post("/run_code", summary="Run a Python program, in SandboxFusion's words")
async def run_code(
    request: Request,
    wanted: RunCodeRequest,
    caller: Annotated[Caller, Depends(caller_of)],
) -> RunCodeAnswer:
    """`Success` when the program ended with status 0, `Failed` when it did not, `SandboxError` when nothing ran."""
    files = [(check_input_path(path), base64.b64decode(content or "")) for path, content in wanted.files.items()]
    paths = {check_input_path(path): path for path in wanted.fetch_files}
    program = Program(wanted.code, wanted.stdin or "", files, list(paths))
    limits = _limits(wanted, caller.service.settings)
    outcome = await unless_disconnected(request, caller.service.run(caller.owner, program, limits))
    return _answer(outcome, paths)


def _limits(wanted: RunCodeRequest, settings: SandboxSettings) -> Limits:
    asked = {"wall_seconds": wanted.run_timeout, "cpu_seconds": wanted.run_timeout}
    if wanted.memory_limit_MB > 0:
        asked["memory_bytes"] = wanted.memory_limit_MB * MEBIBYTE
    return clamp(asked, settings)


def _answer(outcome: Outcome, paths: dict[str, str]) -> RunCodeAnswer:
    verdict = outcome.verdict
    if verdict.status == "sandbox_error":
        return RunCodeAnswer(status="SandboxError", message=verdict.reason or "", run_result=None, files={})
    ended_by_itself = verdict.exit_code is not None and verdict.status in {"ok", "error"}
    status: Literal["Finished", "Error", "TimeLimitExceeded"] = "Finished" if ended_by_itself else "Error"
    result = RunResult(
        status="TimeLimitExceeded" if verdict.status == "timeout" else status,
        execution_time=round(outcome.wall_ms / 1000, 4),
        return_code=verdict.exit_code,
        stdout=outcome.stdout.decode(errors="replace"),
        stderr=outcome.stderr.decode(errors="replace"),
    )
    return RunCodeAnswer(
        status="Success" if verdict.status == "ok" else "Failed",
        message="" if ended_by_itself else verdict.reason or "",
        run_result=result,
        files={
            paths[file.path]: base64.b64encode(file.content).decode()
            for file in outcome.files
            if file.content is not None and file.path in paths
        },
    )

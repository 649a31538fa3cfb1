"""What ``POST /executions`` takes and answers."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from sandbox.paths import check_input_path, check_pattern

MAX_FILES = 256
Encoding = Literal["utf-8", "base64"]
Status = Literal["ok", "error", "timeout", "memory_exceeded", "output_exceeded", "killed", "sandbox_error"]
SMALLEST_MEMORY_BYTES = 16 << 20


class Strict(BaseModel):
    """A request's part: a field that is not known is an error, not a wish ignored."""

    model_config = ConfigDict(extra="forbid")


class InputFile(Strict):
    """A file put into the working directory before the program starts."""

    path: str = Field(min_length=1, max_length=1024, examples=["data/table.csv"])
    content: str = ""
    encoding: Encoding = "utf-8"

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, path: str) -> str:
        return check_input_path(path)

    @model_validator(mode="after")
    def _content_decodes(self) -> Self:
        try:
            self.decoded()
        except binascii.Error as error:
            raise ValueError(f"content is not base64: {error}; send text with encoding utf-8 instead") from None
        return self

    def decoded(self) -> bytes:
        """The content as bytes."""
        if self.encoding == "base64":
            return base64.b64decode(self.content, validate=True)
        return self.content.encode()


class RequestedLimits(Strict):
    """What the run may use; a limit not given has the service's default."""

    wall_seconds: PositiveFloat | None = None
    cpu_seconds: PositiveFloat | None = None
    memory_bytes: Annotated[int, Field(ge=SMALLEST_MEMORY_BYTES)] | None = None
    processes: PositiveInt | None = None
    output_bytes: PositiveInt | None = None
    disk_bytes: Annotated[int, Field(ge=4096)] | None = None


class ExecutionRequest(Strict):
    """A Python program and what it is given."""

    code: str = Field(examples=["final_answer(6 * 7)"])
    stdin: str = ""
    files: list[InputFile] = Field(default=[], max_length=MAX_FILES)
    limits: RequestedLimits = RequestedLimits()
    collect: list[str] = Field(default=[], max_length=32, examples=[["*.png", "out/**"]])

    @field_validator("collect")
    @classmethod
    def _patterns_stay_inside(cls, patterns: list[str]) -> list[str]:
        return [check_pattern(pattern) for pattern in patterns]

    @model_validator(mode="after")
    def _paths_do_not_conflict(self) -> Self:
        paths = [file.path for file in self.files]
        folders = {path[:index] for path in paths for index, letter in enumerate(path) if letter == "/"}
        for index, path in enumerate(paths):
            if path in paths[:index]:
                raise ValueError(f"files.{index}.path: {path!r} is given twice; give each path once")
            if path in folders:
                raise ValueError(f"files.{index}.path: {path!r} is both a file and a folder; rename one")
        return self


class Truncated(BaseModel):
    """Whether more was written than is returned."""

    stdout: bool
    stderr: bool


class Usage(BaseModel):
    """What the run used. ``max_rss_bytes``: the whole run's peak where a control group counts it, else a sample's."""

    wall_ms: float
    cpu_ms: float
    max_rss_bytes: int | None
    oom_killed: bool


class OutputFile(BaseModel):
    """A collected file, or one that matched and was left out, with the reason."""

    path: str
    size_bytes: int
    encoding: Encoding | None = None
    content: str | None = None
    omitted: str | None = None


class Isolation(BaseModel):
    """What confined the run."""

    backend: str
    backend_version: str
    namespaces: list[str]
    host_uid: int
    seccomp: bool
    network: str
    proc: Literal["fresh", "none"]
    memory: Literal["cgroup-v1", "cgroup-v2", "rlimit"]
    processes: Literal["cgroup-v1", "cgroup-v2", "rlimit"]
    python: str


class ExecutionAnswer(BaseModel):
    """How the program ended and what it left. ``status`` comes from the kernel, never from what the program wrote."""

    status: Status
    reason: str | None = Field(description="why the status is not `ok`, for a person or a model to read")
    exit_code: int | None = Field(description="null when a signal ended the program")
    signal: str | None = Field(examples=["SIGSEGV"])
    stdout: str
    stderr: str
    truncated: Truncated
    result: JsonValue = Field(description="the value given to `final_answer`")
    result_given: bool = Field(description="tells a result that is null from none")
    files: list[OutputFile]
    usage: Usage
    isolation: Isolation

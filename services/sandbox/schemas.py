"""What ``POST /executions`` takes and answers, and the sessions'."""

from __future__ import annotations

import base64
import binascii
import keyword
from datetime import datetime
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

from sandbox.limits import LEAST_MEMORY_BYTES
from sandbox.paths import check_input_path, check_pattern

MAX_FILES = 256
Encoding = Literal["utf-8", "base64"]
Status = Literal["ok", "error", "timeout", "memory_exceeded", "output_exceeded", "killed", "sandbox_error"]


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
    memory_bytes: Annotated[int, Field(ge=LEAST_MEMORY_BYTES)] | None = None
    processes: PositiveInt | None = None
    output_bytes: PositiveInt | None = None
    disk_bytes: Annotated[int, Field(ge=4096)] | None = None


def refuse_conflicts(paths: list[str]) -> None:
    """Raise ValueError for a path given twice, or given as a file and needed as a folder."""
    folders = {path[:index] for path in paths for index, letter in enumerate(path) if letter == "/"}
    for index, path in enumerate(paths):
        if path in paths[:index]:
            raise ValueError(f"files.{index}.path: {path!r} is given twice; give each path once")
        if path in folders:
            raise ValueError(f"files.{index}.path: {path!r} is both a file and a folder; rename one")


class RequestedTool(Strict):
    """A function of the program that the service carries out by asking ``url``, which the program never sees."""

    name: str = Field(max_length=64, examples=["search"])
    url: str = Field(max_length=2048, pattern=r"^https?://", examples=["http://127.0.0.1:9100/tools/search"])
    headers: dict[str, str] = Field(default={}, max_length=16, description="sent to `url`, such as its credentials")
    parameters: dict[str, JsonValue] = Field(
        default={},
        description="JSON Schema of an object; the order of its `properties` is that of positional arguments",
    )
    description: str = Field(default="", max_length=10_000)
    timeout_seconds: PositiveFloat = 10.0
    max_calls: PositiveInt = 20

    @field_validator("name")
    @classmethod
    def _name_is_a_function(cls, name: str) -> str:
        if not name.isidentifier() or keyword.iskeyword(name) or name == "final_answer":
            raise ValueError(f"{name!r} cannot be the name of a function; use a Python identifier")
        return name

    @field_validator("headers")
    @classmethod
    def _headers_are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if (
                not name.replace("-", "").isalnum()
                or not name.isascii()
                or not value.isascii()
                or not value.isprintable()
            ):
                raise ValueError(f"{name!r} is not a header of ASCII text; rename it or encode its value")
        return headers

    def parameter_names(self) -> tuple[str, ...]:
        """The properties' names, in order."""
        properties = self.parameters.get("properties")
        return tuple(properties) if isinstance(properties, dict) else ()


class ExecutionRequest(Strict):
    """A Python program and what it is given."""

    code: str = Field(examples=["final_answer(6 * 7)"])
    stdin: str = ""
    files: list[InputFile] = Field(default=[], max_length=MAX_FILES)
    limits: RequestedLimits = RequestedLimits()
    collect: list[str] = Field(default=[], max_length=32, examples=[["*.png", "out/**"]])

    figures: bool = Field(default=False, description="return matplotlib figures left open as figure-1.png and so on")
    tools: list[RequestedTool] = Field(default=[], max_length=64)
    session: str | None = Field(default=None, max_length=64, description="run it in this session, see POST /sessions")

    @field_validator("tools")
    @classmethod
    def _tools_have_names_of_their_own(cls, tools: list[RequestedTool]) -> list[RequestedTool]:
        names = [tool.name for tool in tools]
        if len(set(names)) < len(names):
            raise ValueError("two tools have the same name; rename one")
        return tools

    @field_validator("collect")
    @classmethod
    def _patterns_stay_inside(cls, patterns: list[str]) -> list[str]:
        return [check_pattern(pattern) for pattern in patterns]

    @model_validator(mode="after")
    def _paths_do_not_conflict(self) -> Self:
        refuse_conflicts([file.path for file in self.files])
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
    tier: Literal["standard", "hardened"] = Field(description="hardened: control groups and Landlock as well")
    namespaces: list[str]
    host_uid: int
    seccomp: bool
    landlock_abi: int = Field(description="0 where the kernel has none, or it is off")
    network: str
    proc: Literal["fresh", "none"]
    memory: Literal["cgroup-v1", "cgroup-v2", "rlimit", "container"]
    processes: Literal["cgroup-v1", "cgroup-v2", "rlimit", "container"]
    inodes: int = Field(description="files and folders each writable file system may hold")
    python: str
    preloaded: list[str]


class ToolCallMade(BaseModel):
    """One call of a tool."""

    name: str
    ok: bool
    milliseconds: float
    error: str | None


class SessionState(BaseModel):
    """The session after an execution in it. ``ended``: there is nothing left to run in."""

    id: str
    state: Literal["idle", "ended"]
    reason: str | None


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
    tool_calls: list[ToolCallMade]
    session: SessionState | None


class SessionRequest(Strict):
    """What a session may use for as long as it lasts, and what lies in its working directory at the start."""

    limits: RequestedLimits = RequestedLimits()
    files: list[InputFile] = Field(default=[], max_length=MAX_FILES)
    idle_seconds: PositiveFloat | None = None
    total_seconds: PositiveFloat | None = None

    @model_validator(mode="after")
    def _paths_do_not_conflict(self) -> Self:
        refuse_conflicts([file.path for file in self.files])
        return self


class SessionLimits(BaseModel):
    """The limits in force."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    output_bytes: int
    disk_bytes: int


class SessionAnswer(BaseModel):
    """An open session. ``expires_at``: when it ends if nothing more is run in it."""

    id: str
    state: Literal["idle", "busy"]
    created_at: datetime
    expires_at: datetime
    idle_seconds: float
    total_seconds: float
    executions: int
    limits: SessionLimits
    isolation: Isolation


class SessionList(BaseModel):
    """The caller's open sessions, oldest first."""

    sessions: list[SessionAnswer]

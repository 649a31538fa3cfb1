"""Errors as short lines and exit codes. What is expected to go wrong never shows a traceback."""

from __future__ import annotations

import json
from enum import IntEnum
from http import HTTPStatus
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from astrolabe.errors import (
    ApiProblem,
    AstrolabeError,
    JobFailedError,
    ServiceUnreachableError,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from astrolabe.render.console import line, notices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astrolabe.models import FieldError


class ExitCode(IntEnum):
    """What the command line tells its caller."""

    OK = 0
    NO_RESULT = 1
    """The job failed or was cancelled, no plan is feasible, or no program reached an answer."""
    BAD_REQUEST = 2
    TIMEOUT = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class BadInputError(AstrolabeError):
    """What was given on the command line cannot be used."""


def report(error: AstrolabeError) -> ExitCode:
    """Print what went wrong to stderr; return the exit code for it."""
    console = notices()
    for text in _lines(error):
        console.print(Text(text, style="" if text.startswith(" ") else "red"))
    return _code(error)


def _code(error: AstrolabeError) -> ExitCode:
    if isinstance(error, JobFailedError):
        return ExitCode.NO_RESULT
    if isinstance(error, WaitTimeoutError):
        return ExitCode.TIMEOUT
    if isinstance(error, ServiceUnreachableError | UnexpectedResponseError):
        return ExitCode.UNREACHABLE
    if isinstance(error, ApiProblem) and _may_pass(error.status):
        return ExitCode.UNREACHABLE
    return ExitCode.BAD_REQUEST


def _may_pass(status: int) -> bool:
    """Whether the service, not the request, is at fault."""
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS


def _lines(error: AstrolabeError) -> Iterator[str]:
    if not isinstance(error, ApiProblem):
        yield line(str(error), limit=1000)
        if isinstance(error, WaitTimeoutError):
            yield from how_to_go_on(error.job_id, error.noun)
        return
    yield line(error.title if error.errors else str(error), limit=1000)
    for wrong in error.errors:
        yield f"  {_field(wrong)}"
    if error.retry_after_seconds is not None:
        yield f"  try again in {error.retry_after_seconds:.0f} s"
    if _may_pass(error.status) and error.request_id:
        yield f"  request id: {line(error.request_id)}"


def _field(error: FieldError) -> str:
    value = "" if error.value is None else f" (got {line(json.dumps(error.value, ensure_ascii=False), limit=100)})"
    remedy = f"; remedy: {line(error.remedy)}" if error.remedy else ""
    return f"{line(error.field)}: {line(error.message)}{value}{remedy}"


def how_to_go_on(job_id: str, noun: str = "Job") -> tuple[str, str]:
    """How to come back to a job or batch that is left running."""
    watch = f"jobs watch {job_id}" if noun == "Job" else f"batch results {job_id} --wait"
    cancel = f"jobs cancel {job_id}" if noun == "Job" else f"batch cancel {job_id}"
    return f"  watch it:  astrolabe {watch}", f"  cancel it: astrolabe {cancel}"


def exit_interrupted(job_id: str, noun: str = "Job") -> typer.Exit:
    """Say that the job or batch outlives this command."""
    console = notices()
    console.print(Text(f"Interrupted; {noun.lower()} {job_id} goes on."))
    for text in how_to_go_on(job_id, noun):
        console.print(Text(text))
    return typer.Exit(ExitCode.INTERRUPTED)

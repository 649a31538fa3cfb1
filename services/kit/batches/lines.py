"""From the body of POST /batches to one submission a line, and what is wrong with the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from kit.jobs.submit import Submission
from kit.problems import FieldError, Problem, ProblemDetails, details, field_error, invalid_request
from kit.web.text_guard import unstorable_fields

LINES_AT_ONCE = 1000


class Rejection(BaseModel):
    """A line that was not accepted, and why. Lines count from 1."""

    line: int
    external_id: str | None = Field(description="As far as the line could be read.")
    problem: ProblemDetails


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be a job."""

    number: int
    submission: Submission

    def rejected(self, problem: Problem | None) -> Rejection:
        """The line as refused with ``problem``."""
        refusal = problem or Problem(500, "internal", "Internal error", "")
        return Rejection(line=self.number, external_id=self.submission.external_id, problem=details(refusal))


@dataclass(frozen=True, slots=True)
class Received:
    """A batch's body, read but not parsed: each line's bytes or each element of the array, and what names the whole."""

    raws: list[Any]
    body_sha256: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """Some lines of a batch: what can be jobs, and what cannot."""

    lines: list[Line]
    rejections: list[Rejection]


Parse = Callable[[Any], Submission]
"""Turns one request body into a submission; raises ``ValidationError`` or ``Problem``."""


def parse_line(number: int, raw: bytes | Any, parse: Parse) -> Line | Rejection:
    """Read one line: raw bytes of NDJSON, or an element of a JSON array."""
    value: Any = None
    try:
        value = json.loads(raw) if isinstance(raw, bytes) else raw
        if faults := unstorable_fields(value):
            raise invalid_request(faults)
        return Line(number, parse(value))
    except ValidationError as error:
        problem = invalid_request([field_error(item, value) for item in _in_body(error)])
    except Problem as error:
        problem = error
    except (ValueError, RecursionError):
        wrong = FieldError(field="line", message="is not well-formed JSON", remedy="send one JSON object a line")
        problem = invalid_request([wrong])
    external_id = value.get("external_id") if isinstance(value, dict) else None
    shown = external_id if isinstance(external_id, str) else None
    return Rejection(line=number, external_id=shown, problem=details(problem))


def parse_lines(first: int, raws: Sequence[Any], parse: Parse) -> Parsed:
    """Read lines that stand together; the first has the number ``first``. Blank ones are counted only."""
    read = [parse_line(number, raw, parse) for number, raw in enumerate(raws, first) if raw != b""]
    lines = [line for line in read if isinstance(line, Line)]
    return Parsed(lines, [line for line in read if isinstance(line, Rejection)])


async def parsed_ahead(raws: Sequence[Any], parse: Parse) -> AsyncIterator[Parsed]:
    """A batch's lines, a thousand at a time, off the event loop; the next while the reader deals with the last."""

    def begin(start: int) -> asyncio.Task[Parsed]:
        chunk = raws[start : start + LINES_AT_ONCE]
        return asyncio.create_task(asyncio.to_thread(parse_lines, start + 1, chunk, parse))

    starts = range(0, len(raws), LINES_AT_ONCE)
    parsing = begin(0)
    for start in starts:
        parsed = await parsing
        if start != starts[-1]:
            parsing = begin(start + LINES_AT_ONCE)
        yield parsed


def _in_body(error: ValidationError) -> Iterator[dict[str, Any]]:
    for item in error.errors(include_url=False):
        yield {**item, "loc": ("body", *item["loc"])}


async def split_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a streamed NDJSON body; what is blank is empty, so that lines keep their numbers."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line if line.strip() else b""
    if rest.strip():
        yield rest

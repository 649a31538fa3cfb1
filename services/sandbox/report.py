"""Reading what comes out of a jail besides its output: the guest's report, collected files, the program's result.

All of it is untrusted input: sizes are bounded before it is read, and JSON is the only format parsed.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from sandbox.guest.values import nested_too_deep
from sandbox.jail.faults import GuestProtocolError, JailStartError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from sandbox.backend import Jail


_MAX_FRAMES = 2000


@dataclass(frozen=True, slots=True)
class Ended:
    """What PID 1 saw of the program's end: its wait status, and the use of the whole tree."""

    wait_status: int
    cpu_seconds: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class CollectedFile:
    """A file of the working directory; ``content`` is None when ``omitted`` says why it was left out."""

    path: str
    size_bytes: int
    content: bytes | None = None
    omitted: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the program gave to ``final_answer``, and whether its interpreter ran out of memory."""

    given: bool = False
    value: JsonValue = None
    ran_out_of_memory: bool = False


async def read_end(jail: Jail) -> Ended | None:
    """Wait for the guest's report that the program ended; None when the guest itself is gone."""
    frame = await jail.frame()
    if frame is None:
        return None
    kind, payload = frame
    if kind == b"X":
        raise JailStartError(payload.decode(errors="replace"))
    try:
        wait_status, user, system, peak_bytes = map(int, payload.split())
        os.waitstatus_to_exitcode(wait_status)
    except (ValueError, OverflowError):
        raise GuestProtocolError("its report cannot be read") from None
    return Ended(wait_status, (user + system) / 1e6, peak_bytes)


async def collected_files(jail: Jail, wanted: Mapping[str, object], timeout_seconds: float) -> list[CollectedFile]:
    """The files that match, as the guest sends them, until it says there are no more or the time is up."""
    files: list[CollectedFile] = []
    try:
        async with asyncio.timeout(timeout_seconds):
            await jail.ask(b"C", wanted)
            while (frame := await jail.frame()) and frame[0] != b"D":
                files.append(_collected(*frame))
                if len(files) > _MAX_FRAMES:
                    raise GuestProtocolError("it sends files without end")
    except TimeoutError:
        files.append(CollectedFile("*", 0, omitted="collecting_took_too_long"))
    return files


def _collected(kind: bytes, payload: bytes) -> CollectedFile:
    if kind == b"O":
        try:
            reason, size_bytes, path = payload.split(b" ", 2)
            return CollectedFile(path.decode(errors="replace"), int(size_bytes), omitted=reason.decode("ascii"))
        except ValueError:
            raise GuestProtocolError("what it says of a file cannot be read") from None
    end = 4 + int.from_bytes(payload[:4], "big")
    path, content = payload[4:end], payload[end:]
    try:
        return CollectedFile(path.decode(), len(content), content)
    except UnicodeDecodeError:
        return CollectedFile(path.decode(errors="replace"), len(content), omitted="name_is_not_utf_8")


def parse_result(written: bytes) -> Answer:
    """The first answer on the result pipe that is JSON; anything else a program writes there is nothing."""
    lines = written.split(b"\n")[:-1]
    ran_out_of_memory = b"M" in lines
    for line in lines:
        if line.startswith(b"A"):
            try:
                return Answer(given=True, value=_json(line[1:]), ran_out_of_memory=ran_out_of_memory)
            except (ValueError, RecursionError):
                break
    return Answer(ran_out_of_memory=ran_out_of_memory)


def _json(text: bytes) -> JsonValue:
    """Strict JSON that can be sent on as strict JSON: no NaN, no infinity, no half of a surrogate pair, no abyss."""
    value: JsonValue = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    if nested_too_deep(value):
        raise ValueError("nested too deep")
    if b"\\ud" in text.lower():
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not finite")
    return value

"""Parse server-sent events from bytes as they arrive (the WHATWG HTML standard, section 9.2)."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE_END = re.compile(r"\r\n|\r|\n")
"""Only these end a line; JSON may hold U+2028 and others that ``str.splitlines`` would break at."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One dispatched event. ``id`` is the last one given on the stream, by this event or an earlier one."""

    type: str
    data: str
    id: str


class EventParser:
    """Feed it chunks; it yields the events they complete. An event that a cut leaves unfinished is never yielded."""

    def __init__(self) -> None:
        self.retry_seconds: float | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest = ""
        self._type = ""
        self._data: list[str] = []
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that ``chunk`` completes."""
        text = self._rest + self._decoder.decode(chunk)
        # A carriage return at the end may be the first half of a line end that the next chunk completes.
        held = "\r" if text.endswith("\r") else ""
        *lines, rest = _LINE_END.split(text.removesuffix("\r"))
        self._rest = rest + held
        for line in lines:
            if line:
                self._read_field(line)
            elif event := self._dispatch():
                yield event

    def _read_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_seconds = int(value) / 1000

    def _dispatch(self) -> ServerSentEvent | None:
        kind, data = self._type or "message", self._data
        self._type, self._data = "", []
        return ServerSentEvent(kind, "\n".join(data), self._id) if data else None

"""Requests as lines of newline-delimited JSON, in chunks that a service accepts as one body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_LINES = 10_000
CHUNK_BYTES = 16 * 2**20
"""A quarter of what services accept as one batch unless they are told otherwise."""

Line = Mapping[str, object] | bytes
"""A request, or one that is encoded already (without its line end); empty bytes are passed over, but counted."""


@dataclass(slots=True)
class Chunk:
    """Some lines: their encoding, and the number of each among all lines, from 1."""

    numbers: list[int] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)

    def add(self, number: int, line: bytes) -> None:
        self.numbers.append(number)
        self.content += line
        self.content += b"\n"

    def has_room_for(self, line: bytes) -> bool:
        """Whether it stays within both bounds; one line always has room, for its service to judge."""
        within = len(self.numbers) < CHUNK_LINES and len(self.content) + len(line) < CHUNK_BYTES
        return not self.numbers or within


def chunks(lines: Iterable[Line]) -> Iterator[Chunk]:
    """The lines in order, in as few chunks as the bounds allow."""
    chunk = Chunk()
    for number, given in enumerate(lines, start=1):
        line = _encoded(given)
        if not line:
            continue
        if not chunk.has_room_for(line):
            yield chunk
            chunk = Chunk()
        chunk.add(number, line)
    if chunk.numbers:
        yield chunk


def _encoded(line: Line) -> bytes:
    if isinstance(line, Mapping):
        return json.dumps(dict(line), ensure_ascii=False, separators=(",", ":")).encode()
    return line.strip()

"""What supervisord's log says about parts, for the terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = re.compile(r" (?P<what>exited|gave up|success): (?P<part>[\w-]+) (?P<detail>.*)")


@dataclass(frozen=True, slots=True)
class Event:
    """A part ended, came back, or is given up."""

    what: str
    part: str
    detail: str

    @property
    def title(self) -> str:
        return self.part.replace("-", " ")

    @property
    def ended(self) -> bool:
        return self.what == "exited"

    @property
    def came_up(self) -> bool:
        return self.what == "success"

    def sentence(self) -> str:
        """One line for the terminal."""
        match self.what:
            case "exited":
                reason = self.detail.strip("()").split(";")[0]
                return f"{self.title} ended ({reason}); restarting it"
            case "success":
                return f"{self.title} runs"
            case _:
                return f"{self.title} ends again and again; given up"


class EventLog:
    """The new lines of supervisord's log, as events."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def read(self) -> Iterator[Event]:
        if not self._path.exists():
            return
        if self._path.stat().st_size < self._offset:
            self._offset = 0
        with self._path.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        for match in EVENT.finditer(complete.decode(errors="replace")):
            yield Event(match["what"], match["part"], match["detail"])

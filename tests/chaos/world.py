"""The outside world of a chaos run: a model that writes programs, and a receiver of webhooks. Both only count."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from typing import Self

from tests.support.llm_server import llm_server, node_of, program, says
from tests.support.scripted_http import Answer, Asked, ScriptedServer

_TASK = re.compile(r"task number (\S+) of kind (\w+)")
# Writes until the file systems of its jail are full, and must then still be able to answer.
_FILL = """
import os
for place in ("/box", "/tmp"):
    try:
        with open(os.path.join(place, "filler"), "wb") as filler:
            while True:
                filler.write(b"x" * (1 << 20))
    except OSError as error:
        print(place, error.errno)
final_answer(28)
"""
_PROGRAMS = {
    "plain": "final_answer(7)",
    "slow": "import time\ntime.sleep(1.0)\nfinal_answer(7)",
    "filling": _FILL,
}


def task_of(number: str, kind: str) -> str:
    """What an episode is asked; the model recognises it."""
    return f"This is task number {number} of kind {kind}."


class Model:
    """The scripted model server. ``asked`` counts requests by (task number, node path, turn)."""

    def __init__(self, latency_seconds: float) -> None:
        self.asked: Counter[tuple[str, str, int]] = Counter()
        self._latency_seconds = latency_seconds
        self._lock = threading.Lock()

    def server(self) -> ScriptedServer:
        return llm_server(self._answer)

    def _answer(self, asked: Asked) -> Answer:
        found = _TASK.search(json.dumps(asked.body))
        number, kind = (found[1], found[2]) if found else ("?", "plain")
        path, turn = node_of(asked)
        with self._lock:
            self.asked[number, path, turn] += 1
        time.sleep(self._latency_seconds)
        # In the first layer of a tree all programs but one fail, so that there is a second one.
        if kind == "tree" and path in {"1", "2"}:
            return says(program("raise KeyError('fare')"))
        return says(program(_PROGRAMS.get(kind, _PROGRAMS["plain"])))


class Receiver:
    """Takes webhooks at ``url`` and counts them by job; it refuses every seventh job's first one, as receivers do."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.refused: set[str] = set()
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._server = ScriptedServer(lambda asked: Answer(self._take(str(asked.body["data"]["id"])), b""))

    @property
    def url(self) -> str:
        return f"{self._server.url}/hook"

    def _take(self, job_id: str) -> int:
        with self._lock:
            first = job_id not in self._seen
            self._seen.add(job_id)
            if first and len(self._seen) % 7 == 0:
                self.refused.add(job_id)
                return 503
            self.taken[job_id] += 1
            return 204

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

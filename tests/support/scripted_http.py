"""A real HTTP server on a free port that answers as a script tells it, faults included. One thread a connection."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Asked:
    """One request. ``occurrence`` counts requests with the same key from 1, in order of arrival."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    key: str
    occurrence: int


@dataclass(frozen=True)
class Answer:
    """What to send. ``cut_after``: close after so many bytes of the body. ``stall``: send nothing until the server ends."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    drop: bool = False
    stall: bool = False

    @classmethod
    def json(cls, document: object, status: int = 200, **headers: str) -> Answer:
        return cls(
            status, json.dumps(document).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
        )


class ScriptedServer:
    """``script`` maps a request to an answer; ``key_of`` says which requests are counted together.

    One that ``closes_idle`` keeps connections alive, and meets the next request on one as servers do that are just
    closing it: without an answer.
    """

    def __init__(
        self,
        script: Callable[[Asked], Answer],
        key_of: Callable[[Mapping[str, str]], str] = lambda _: "",
        *,
        closes_idle: bool = False,
    ) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.stalled = threading.Semaphore(0)
        self.hung_up = 0
        self._closes_idle = closes_idle
        self._key_of = key_of
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if closes_idle else "HTTP/1.0"
            timeout = 10.0
            is_idle = False

            def do_POST(self) -> None:
                server._answer(self)

            def do_DELETE(self) -> None:
                server._answer(self)

            def log_message(self, *_: object) -> None:
                """Tests read ``asked`` instead."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, key: str = "") -> int:
        return self._counts[key]

    @property
    def counts(self) -> dict[str, int]:
        return dict(self._counts)

    def reset(self) -> None:
        """Count from zero again."""
        with self._lock:
            self._counts.clear()
            self.asked.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length", 0))) or b"{}")
        with self._lock:
            if self._closes_idle and getattr(handler, "is_idle", False):
                self.hung_up += 1
                handler.close_connection = True
                return
            handler.is_idle = True  # type: ignore[attr-defined]
            key = self._key_of(handler.headers)  # type: ignore[arg-type]
            self._counts[key] += 1
            asked = Asked(handler.path, dict(handler.headers), body, key, self._counts[key])
            self.asked.append(asked)
        _send(handler, self.script(asked), self)

    def wait_for_end(self) -> None:
        self.stalled.release()
        self._ending.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 512

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


def _send(handler: BaseHTTPRequestHandler, answer: Answer, server: ScriptedServer) -> None:
    handler.close_connection = answer.drop or answer.stall or answer.cut_after is not None
    if answer.stall:
        server.wait_for_end()
        return
    if answer.drop:
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    handler.send_response(answer.status)
    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(answer.body)))
    handler.end_headers()
    handler.wfile.write(answer.body[: answer.cut_after])

"""The outside world of the client: a real HTTP server on a free port that plays scripted replies, faults included."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    params: list[tuple[str, str]]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    """What to send. ``end`` says what follows the body: an orderly close, a cut connection, or silence."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    end: Literal["close", "cut", "silence"] = "close"
    answers: bool = True


def answer(document: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json", **named})


def problem(status: int, slug: str, detail: str, errors: Iterable[dict[str, Any]] = (), **headers: str) -> Reply:
    title = slug.replace("-", " ").capitalize()
    document = {"type": f"urn:astrolabe:problem:{slug}", "title": title, "status": status, "detail": detail}
    return answer(
        {**document, "request_id": "r-1", "errors": list(errors)},
        status,
        Content_Type="application/problem+json",
        **headers,
    )


def stream(*events: tuple[int, str, dict[str, Any]], end: Literal["close", "cut", "silence"] = "close") -> Reply:
    parts = [f"event: {kind}\ndata: {json.dumps(data)}\nid: {number}\n\n" for number, kind, data in events]
    return Reply(200, "".join([": hello\n\n", *parts]).encode(), {"Content-Type": "text/event-stream"}, end)


def json_lines(*documents: object, end: Literal["close", "cut", "silence"] = "close") -> Reply:
    body = "".join(f"{json.dumps(document)}\n" for document in documents).encode()
    return Reply(200, body, {"Content-Type": "application/jsonl"}, end)


NO_ANSWER = Reply(end="cut", answers=False)
SILENCE = Reply(end="silence", answers=False)


class ScriptedService:
    """Plays the replies of each (method, path) in turn, and the last of them for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.silent = threading.Semaphore(0)
        """Released each time a connection falls silent."""
        self._scripts: dict[tuple[str, str], list[Reply]] = defaultdict(list)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service._play(self)

            def do_POST(self) -> None:
                service._play(self)

            def do_DELETE(self) -> None:
                service._play(self)

            def log_message(self, *_: object) -> None:
                """Tests read ``seen`` instead."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self._scripts[method, path] = list(replies)

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _play(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        seen = Seen(handler.command, url.path, parse_qsl(url.query), headers, _read(body, headers.get("content-type")))
        with self._lock:
            self.seen.append(seen)
            reply = self._next(handler.command, url.path)
        _send(handler, reply)
        if reply.end == "silence":
            self.silent.release()
            self._ending.wait()
        if reply.end == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _next(self, method: str, path: str) -> Reply:
        script = self._scripts.get((method, path))
        if not script:
            return problem(404, "not-found", f"nothing is scripted for {method} {path}")
        return script.pop(0) if len(script) > 1 else script[0]


def _read(body: bytes, media_type: str | None) -> Any:
    """JSON; of newline-delimited JSON the lines, those that are not JSON as they are."""
    if media_type != "application/x-ndjson":
        return json.loads(body) if body else None
    return [json.loads(line) if line.startswith(b"{") else line for line in body.splitlines()]


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    if not reply.answers:
        return
    handler.send_response(reply.status)
    for name, value in {**reply.headers, "Connection": "close", "Transfer-Encoding": "chunked"}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if reply.body:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
    if reply.end == "close":
        handler.wfile.write(b"0\r\n\r\n")
    handler.wfile.flush()

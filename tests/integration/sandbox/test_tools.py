"""Tools over real HTTP: a program's only way out, and what it cannot get out of it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.sandbox_service import Service, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


class Endpoint:
    """A caller's tool endpoint: answers by the tool's name, and keeps what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.release = threading.Event()

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        match body["name"]:
            case "add":
                return 200, json.dumps({"result": body["arguments"]["a"] + body["arguments"]["b"]}).encode()
            case "fail":
                return 200, b'{"error": "no such page"}'
            case "slow":
                self.release.wait(20)
                return 200, b'{"result": 1}'
            case "huge":
                return 200, b'{"result": "' + b"x" * (2 << 20) + b'"}'
            case _:
                return 500, b"broken"

    def tool(self, name: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "url": f"{self.url}/{name}",
            "headers": {"Authorization": "Bearer secret-of-caller"},
            **more,
        }


@contextmanager
def _serving() -> Iterator[Endpoint]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.asked.append((dict(self.headers), body))
            status, content = endpoint.answer(body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield endpoint
        endpoint.release.set()
        server.shutdown()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with _serving() as serving:
        yield serving


SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}


def test_a_program_calls_its_callers_tool(sandbox: Service, endpoint: Endpoint) -> None:
    answer = sandbox.run(
        "print(add.__doc__); final_answer([add(1, 2), add(1, b=4), add(a=2, b=5)])",
        tools=[endpoint.tool("add", parameters=SCHEMA, description="Adds.")],
    )
    assert (answer["result"], answer["stdout"]) == ([3, 5, 7], "Adds.\n")
    assert [(call["name"], call["ok"], call["error"]) for call in answer["tool_calls"]] == [("add", True, None)] * 3
    headers, body = endpoint.asked[0]
    assert headers["Authorization"] == "Bearer secret-of-caller"
    assert (body["arguments"], body["call"]) == ({"a": 1, "b": 2}, 1)


def test_a_program_sees_neither_address_nor_credentials(sandbox: Service, endpoint: Endpoint) -> None:
    code = (
        "import gc, sys, os\n"
        "seen = repr([o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))][:20000]) + repr(os.environ)\n"
        "final_answer('of-'.join(['secret-', 'caller']) in seen or '.0.0.'.join(['127', '1:']) in seen)"
    )
    assert sandbox.run(code, tools=[endpoint.tool("add")])["result"] is False


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("fail", {}, "fail: no such page"),
        ("broken", {}, "broken: it answered HTTP 500"),
        ("slow", {"timeout_seconds": 0.3}, "slow: it did not answer within 0.3 s"),
        ("huge", {}, "huge: it answered more than"),
    ],
)
def test_a_tools_failure_is_an_exception(
    sandbox: Service, endpoint: Endpoint, name: str, more: dict[str, Any], said: str
) -> None:
    answer = sandbox.run(
        f"try: {name}()\nexcept ToolError as e: final_answer(str(e))", tools=[endpoint.tool(name, **more)]
    )
    assert said in answer["result"]
    assert answer["tool_calls"][0]["ok"] is False


def test_an_endpoint_that_is_not_there(sandbox: Service) -> None:
    answer = sandbox.run("f()", tools=[{"name": "f", "url": "http://127.0.0.1:1/f"}])
    assert answer["status"] == "error"
    assert "ToolError: f: it can't be reached (ConnectError)" in answer["stderr"]


def test_calls_are_counted_and_unlisted_ones_refused(sandbox: Service, endpoint: Endpoint) -> None:
    code = (
        "results = []\n"
        "for _ in range(4):\n  try: results.append(add(a=1, b=1))\n  except ToolError as e: results.append(str(e))\n"
        "try: add.__closure__[[c.cell_contents.__class__.__name__ for c in add.__closure__].index('Calls')].cell_contents.call('other', {})\n"
        "except ToolError as e: results.append(str(e))\nfinal_answer(results)"
    )
    answer = sandbox.run(code, tools=[endpoint.tool("add", max_calls=2)])
    assert answer["result"][:2] == [2, 2]
    assert answer["result"][2] == answer["result"][3] == "add: it was called 2 times already, which is its limit"
    assert answer["result"][4] == "other: there is no such tool in this execution"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    "hostile",
    [
        "os.write(s, b'\\xff' * 5000)",
        "os.write(s, (4).to_bytes(4, 'big') + b'null')",
        "os.write(s, (50000).to_bytes(4, 'big') + b'[' * 50000)",
        "os.write(s, (9).to_bytes(4, 'big') + b'{\"call\":1')",
        'm = b\'{"call": 1, "name": "\\\\ud800", "arguments": 1}\'; os.write(s, len(m).to_bytes(4, \'big\') + m)',
        "os.write(s, bytes([255] * 4)); socket.send_fds(socket.socket(fileno=s), [b'x' * 1000], [1, 2] * 20)",
        "m = b'{\"end\": 1, \"exit_code\": 0}'; os.write(s, len(m).to_bytes(4, 'big') + m); os._exit(7)",
    ],
)
def test_rubbish_on_the_calls_socket_harms_nobody(sandbox: Service, endpoint: Endpoint, hostile: str) -> None:
    code = (
        "import os, socket, stat\n"
        "s = [f for f in range(3, 30) if stat.S_ISSOCK(getattr(os.fstat(f) if os.path.lexists(f'/proc/self/fd/{f}') else None, 'st_mode', 0))][0]\n"
    )
    answer = sandbox.run(code + hostile, tools=[endpoint.tool("add")], limits={"wall_seconds": 3})
    assert answer["status"] in {"ok", "error"}
    assert answer["exit_code"] == (7 if "_exit" in hostile else 0)
    assert sandbox.run("final_answer(add(a=1, b=1))", tools=[endpoint.tool("add")])["result"] == 2


def test_a_child_process_cannot_call(sandbox: Service, endpoint: Endpoint) -> None:
    code = "import os\nif os.fork() == 0:\n  try: add(a=1, b=1)\n  except ToolError as e: print(e)\n  os._exit(0)\nos.wait()"
    answer = sandbox.run(code, tools=[endpoint.tool("add")])
    assert "first process only" in answer["stdout"]
    assert endpoint.asked == []


def test_threads_may_call_at_once(sandbox: Service, endpoint: Endpoint) -> None:
    code = "from concurrent.futures import ThreadPoolExecutor as T\nwith T(5) as t: final_answer(list(t.map(lambda n: add(a=n, b=0), range(10))))"
    assert sandbox.run(code, tools=[endpoint.tool("add")])["result"] == list(range(10))


def test_waiting_for_a_tool_counts_against_the_wall(sandbox: Service, endpoint: Endpoint) -> None:
    answer = sandbox.run("slow()", tools=[endpoint.tool("slow")], limits={"wall_seconds": 0.5})
    assert answer["status"] == "timeout"


def test_tools_belong_to_one_execution_of_a_session(sandbox: Service, endpoint: Endpoint) -> None:
    session = sandbox.client.post("/sessions", json={}).json()["id"]
    first = sandbox.run("final_answer(add(a=1, b=1))", session=session, tools=[endpoint.tool("add")])
    assert first["result"] == 2
    second = sandbox.run("try: add(a=1, b=1)\nexcept ToolError as e: final_answer(str(e))", session=session)
    assert second["result"] == "add: there is no such tool in this execution"
    sandbox.client.delete(f"/sessions/{session}")


def test_no_origins_no_tools() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_TOOL_ORIGINS="[]") as service:
        body = {"code": "1", "tools": [{"name": "f", "url": "http://127.0.0.1:1/"}]}
        answer = service.client.post("/executions", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "tools.0.url"

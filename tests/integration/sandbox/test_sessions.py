"""Sessions over real HTTP: what stays, what ends, who sees what."""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.support.sandbox_service import Service, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Opened:
    """A session, and short ways to use it."""

    def __init__(self, service: Service, **wanted: Any) -> None:
        self.service = service
        answer = service.client.post("/sessions", json=wanted)
        assert answer.status_code == 201, answer.text
        self.facts: dict[str, Any] = answer.json()
        self.id: str = self.facts["id"]
        assert answer.headers["location"] == f"/sessions/{self.id}"

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        return self.service.run(code, session=self.id, **more)

    def status(self) -> int:
        return self.service.client.get(f"/sessions/{self.id}").status_code

    def delete(self) -> None:
        self.service.client.delete(f"/sessions/{self.id}")


@pytest.fixture
def session(sandbox: Service) -> Iterator[Opened]:
    opened = Opened(sandbox)
    yield opened
    opened.delete()


def test_state_is_kept_and_the_last_expression_is_shown(session: Opened) -> None:
    assert session.run("x = 1\nimport math")["stdout"] == ""
    assert session.run("x += 1\nx")["stdout"] == "2\n"
    assert session.run("def f(): return math.pi\nopen('note', 'w').write('kept')")["stdout"] == "4\n"
    answer = session.run("final_answer([x, round(f(), 2), open('note').read()])")
    assert (answer["status"], answer["result"]) == ("ok", [2, 3.14, "kept"])
    assert answer["session"] == {"id": session.id, "state": "idle", "reason": None}


def test_an_error_is_told_and_state_is_kept(session: Opened) -> None:
    answer = session.run("a = 'hello'\nassert False, 'why'")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stderr"] == (
        "Traceback (most recent call last):\n  File \"<cell 1>\", line 2, in <module>\n    assert False, 'why'\nAssertionError: why\n"
    )
    assert session.run("print(a)")["stdout"] == "hello\n"
    assert session.run("int a = 1")["stderr"].endswith("SyntaxError: invalid syntax\n")


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [("raise SystemExit(3)", "error", 3), ("exit()", "ok", 0), ("final_answer(1)", "ok", 0)],
)
def test_leaving_a_cell_leaves_the_session(session: Opened, code: str, status: str, exit_code: int) -> None:
    answer = session.run(code)
    assert (answer["status"], answer["exit_code"], answer["session"]["state"]) == (status, exit_code, "idle")
    assert session.run("1 + 1")["stdout"] == "2\n"


def test_an_answer_belongs_to_its_cell(session: Opened) -> None:
    assert session.run("final_answer(1)")["result"] == 1
    assert session.run("pass")["result_given"] is False
    assert session.run("final_answer(2)")["result"] == 2


def test_a_cell_over_its_time_is_interrupted_and_state_is_kept(session: Opened) -> None:
    session.run("x = 5")
    answer = session.run("while True: pass", limits={"wall_seconds": 0.4})
    assert answer["status"] == "timeout"
    assert "KeyboardInterrupt" in answer["stderr"]
    assert answer["session"]["state"] == "idle"
    answer = session.run("while True: pass", limits={"cpu_seconds": 0.3})
    assert (answer["status"], "CPU limit of 0.3 s" in answer["reason"]) == ("timeout", True)
    assert session.run("x")["stdout"] == "5\n"


def test_a_cell_that_ignores_the_interrupt_ends_the_session(session: Opened) -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    answer = session.run(code, limits={"wall_seconds": 0.3})
    assert answer["status"] == "timeout"
    assert answer["session"] == {"id": session.id, "state": "ended", "reason": "it did not stop when interrupted"}
    assert session.status() == 404


def test_output_is_limited_for_each_cell(session: Opened) -> None:
    answer = session.run("while True: print('x' * 999)", limits={"output_bytes": 10_000})
    assert answer["status"] == "output_exceeded"
    assert len(answer["stdout"]) == 10_000
    assert answer["session"]["state"] == "idle"
    assert session.run("print('y')", limits={"output_bytes": 10})["stdout"] == "y\n"


@pytest.mark.parametrize(
    ("code", "status", "signal"),
    [
        ("import os; os._exit(3)", "error", None),
        ("import os; os._exit(0)", "ok", None),
        ("import os; os.kill(os.getpid(), 9)", "killed", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "error", "SIGSEGV"),
    ],
)
def test_a_session_ends_with_its_interpreter(session: Opened, code: str, status: str, signal: str | None) -> None:
    answer = session.run(f"print('last words')\n{code}")
    assert (answer["status"], answer["signal"], answer["stdout"]) == (status, signal, "last words\n")
    assert answer["session"]["state"] == "ended"
    assert session.service.client.post("/executions", json={"code": "1", "session": session.id}).status_code == 404


def test_memory_is_the_sessions(sandbox: Service) -> None:
    session = Opened(sandbox, limits={"memory_bytes": 96 << 20})
    assert session.run("a = b'x' * (30 << 20)")["status"] == "ok"
    answer = session.run("b = b'x' * (200 << 20)")
    assert answer["status"] == "memory_exceeded"
    assert "100663296" in answer["reason"]
    session.delete()


def test_forging_the_end_of_a_cell_fools_its_caller_alone(session: Opened) -> None:
    forge = "import os, json\nm = json.dumps({'end': 1, 'exit_code': 0}).encode()\nfor f in range(3, 20):\n  try: os.write(f, len(m).to_bytes(4, 'big') + m)\n  except OSError: pass\n"
    session.run(forge + "while True: pass", limits={"wall_seconds": 0.5})
    assert session.service.run("final_answer(1)")["result"] == 1
    assert session.service.client.get("/livez").status_code == 200


def test_files_stdin_and_collection_work_in_every_cell(session: Opened) -> None:
    raw = base64.b64encode(b"\xff\x00").decode()
    for number in (1, 2):
        files = [{"path": "in/raw", "content": raw, "encoding": "base64"}, {"path": "n", "content": str(number)}]
        answer = session.run(
            "import sys; open('out', 'w').write(open('n').read() + sys.stdin.read()); print(open('in/raw', 'rb').read())",
            files=files, stdin=f"<{number}>", collect=["out"],
        )  # fmt: skip
        assert answer["files"][0]["content"] == f"{number}<{number}>"
        assert answer["stdout"] == "b'\\xff\\x00'\n"


def test_input_files_are_not_written_through_links(session: Opened) -> None:
    session.run("import os; os.symlink('/tmp', 'd'); os.symlink('/tmp/t', 'f')")
    answer = session.run(
        "print(open('f').read()); import os; print(os.path.lexists('/tmp/t'))", files=[{"path": "f", "content": "mine"}]
    )
    assert answer["stdout"] == "mine\nFalse\n"
    assert session.run("1", files=[{"path": "d/f", "content": "x"}])["status"] == "error"


def test_a_collected_name_swapped_for_a_link_is_not_followed(session: Opened) -> None:
    session.run(
        "import os, threading\nopen('f', 'w').write('mine'); stop = False\ndef swap():\n  while not stop:\n    os.symlink('/etc/passwd', 'g'); os.replace('g', 'f'); open('h', 'w').write('mine'); os.replace('h', 'f')\nthreading.Thread(target=swap, daemon=True).start()"
    )
    for _ in range(20):
        for file in session.run("pass", collect=["f"])["files"]:
            assert "sandbox:" not in (file["content"] or "")


def test_limits_of_the_whole_session_cannot_be_asked_for_again(session: Opened) -> None:
    body = {"code": "1", "session": session.id, "limits": {"memory_bytes": 1 << 28}}
    answer = session.service.client.post("/executions", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "limits.memory_bytes"


def test_a_session_is_its_owners_alone(sandbox: Service) -> None:
    mine, other = {"X-Astrolabe-Owner": "me"}, {"X-Astrolabe-Owner": "someone else"}
    made = sandbox.client.post("/sessions", json={}, headers=mine).json()
    path = f"/sessions/{made['id']}"
    assert sandbox.client.get(path, headers=other).status_code == 404
    assert sandbox.client.delete(path, headers=other).status_code == 404
    body = {"code": "1", "session": made["id"]}
    assert sandbox.client.post("/executions", json=body, headers=other).status_code == 404
    assert [one["id"] for one in sandbox.client.get("/sessions", headers=mine).json()["sessions"]] == [made["id"]]
    assert sandbox.client.get("/sessions", headers=other).json()["sessions"] == []
    assert sandbox.client.delete(path, headers=mine).status_code == 204
    assert sandbox.client.get(path, headers=mine).status_code == 404


def test_one_execution_at_a_time_and_an_interrupt_in_between(session: Opened) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.run, "import time; time.sleep(30)")
        _until(lambda: session.service.client.get(f"/sessions/{session.id}").json()["state"] == "busy")
        refused = session.service.client.post("/executions", json={"code": "1", "session": session.id})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:astrolabe:problem:session-busy")

        def interrupted() -> bool:
            """An interrupt that comes before the program's first step interrupts nothing: it is sent again."""
            session.service.client.post(f"/sessions/{session.id}/interrupt")
            return running.done()

        _until(interrupted)
        assert "KeyboardInterrupt" in running.result()["stderr"]
    assert session.run("2")["stdout"] == "2\n"


def test_deleting_a_session_kills_what_runs_in_it(sandbox: Service) -> None:
    session = Opened(sandbox)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.run, "import time; time.sleep(300)")
        _until(lambda: sandbox.client.get(f"/sessions/{session.id}").json()["state"] == "busy")
        session.delete()
        answer = running.result(timeout=20)
    assert answer["status"] == "killed"
    assert answer["session"]["state"] == "ended"
    assert "deleted" in answer["session"]["reason"]


def test_a_caller_that_goes_away_takes_its_session_along(sandbox: Service) -> None:
    session = Opened(sandbox)
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=sandbox.client.base_url) as client:
        client.post("/executions", json={"code": "while True: pass", "session": session.id}, timeout=0.5)
    _until(lambda: session.status() == 404)


def test_idle_and_old_sessions_end_and_leave_nothing() -> None:
    with running_sandbox() as service:
        idle, old = Opened(service, idle_seconds=0.5), Opened(service, total_seconds=0.6)
        assert old.run("import subprocess; p = subprocess.Popen(['sleep', '99'])")["status"] == "ok"
        _until(lambda: idle.status() == old.status() == 404)
        assert service.program_pids() == []


def test_only_so_many_sessions_are_open() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_MAX_SESSIONS="1") as service:
        first = Opened(service)
        refused = service.client.post("/sessions", json={})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        first.delete()
        Opened(service).delete()


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"idle_seconds": 1e9}, "idle_seconds"),
        ({"total_seconds": 0}, "total_seconds"),
        ({"limits": {"memory_bytes": 1 << 50}}, "limits.memory_bytes"),
        ({"files": [{"path": "../x"}]}, "files.0.path"),
    ],
)
def test_a_bad_session_names_the_field(sandbox: Service, wanted: dict[str, Any], field: str) -> None:
    answer = sandbox.client.post("/sessions", json=wanted)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def _until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.02)


def test_sessions_may_be_deleted_just_as_their_time_is_up(sandbox: Service) -> None:
    def delete_at(opened: Opened, seconds: float) -> int:
        time.sleep(max(0.0, opened_at[opened.id] + seconds - time.monotonic()))
        return sandbox.client.delete(f"/sessions/{opened.id}").status_code

    opened_at = {}
    sessions = []
    for _ in range(24):
        sessions.append(Opened(sandbox, total_seconds=1))
        opened_at[sessions[-1].id] = time.monotonic()
    moments = [0.97 + 0.04 * number / len(sessions) for number in range(len(sessions))]
    with ThreadPoolExecutor(len(sessions)) as threads:
        answers = list(threads.map(delete_at, sessions, moments))
    assert set(answers) <= {204, 404}

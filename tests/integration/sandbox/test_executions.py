"""The contract of POST /executions over real HTTP."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.launcher import clean_environment
from tests.support.sandbox_service import Service, running_sandbox

POOL = 3


def test_the_answer_has_every_part_of_the_contract(sandbox: Service) -> None:
    answer = sandbox.run("print('out'); final_answer({'a': [1, None, 'é']})")
    assert answer["status"] == "ok"
    assert answer["exit_code"] == 0
    assert answer["signal"] is None
    assert answer["stdout"] == "out\n"
    assert answer["stderr"] == ""
    assert answer["truncated"] == {"stdout": False, "stderr": False}
    assert answer["result"] == {"a": [1, None, "é"]}
    assert answer["result_given"] is True
    assert answer["files"] == []
    assert set(answer["usage"]) == {"wall_ms", "cpu_ms", "max_rss_bytes", "oom_killed"}
    assert 0 < answer["usage"]["cpu_ms"] < 5000
    assert answer["usage"]["max_rss_bytes"] > 1 << 20
    assert answer["isolation"]["backend"] == "bubblewrap"
    assert answer["isolation"]["host_uid"] != 0
    assert {"user", "mount", "pid", "ipc", "uts", "cgroup", "net"} == set(answer["isolation"]["namespaces"])


def test_files_go_in_and_come_out(sandbox: Service) -> None:
    raw = bytes(range(256))
    answer = sandbox.run(
        "import pathlib\np = pathlib.Path('out/deep'); p.mkdir(parents=True)\n"
        "(p / 'copy.bin').write_bytes(open('in/raw.bin', 'rb').read())\n"
        "(p / 'text.txt').write_text(open('text.txt').read().upper())\n"
        "(p / 'skipped.log').write_text('x')",
        files=[
            {"path": "in/raw.bin", "content": base64.b64encode(raw).decode(), "encoding": "base64"},
            {"path": "./text.txt", "content": "grüße"},
        ],
        collect=["out/**/*.txt", "**/copy.bin"],
    )
    files = {file["path"]: file for file in answer["files"]}
    assert set(files) == {"out/deep/copy.bin", "out/deep/text.txt"}
    assert files["out/deep/text.txt"]["content"] == "GRÜSSE"
    assert base64.b64decode(files["out/deep/copy.bin"]["content"]) == raw


def test_what_comes_out_can_be_sent_in_again(sandbox: Service) -> None:
    first = sandbox.run("open('a.bin', 'wb').write(b'\\xff\\x00')", collect=["*"])
    again = [{key: file[key] for key in ("path", "content", "encoding")} for file in first["files"]]
    assert sandbox.run("final_answer(list(open('a.bin', 'rb').read()))", files=again)["result"] == [255, 0]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"code": "1", "tools": [{"name": "f", "url": "ftp://x"}]}, "tools.0.url", "match pattern"),
        ({"code": "1", "tools": [{"name": "1f", "url": "http://127.0.0.1"}]}, "tools.0.name", "cannot be the name"),
        ({"code": "1", "tools": [{"name": "f", "url": "http://192.0.2.1/"}]}, "tools.0.url", "not at an origin"),
        ({"code": "1", "limits": {"wall": 1}}, "limits.wall", "Extra inputs"),
        ({}, "code", "required"),
        ({"code": 5}, "code", "string"),
        ({"code": "a\0b"}, "code", "NUL"),
        ({"code": "1", "limits": {"wall_seconds": 1e6}}, "limits.wall_seconds", "maximum of 120"),
        ({"code": "1", "limits": {"memory_bytes": 1 << 50}}, "limits.memory_bytes", "maximum of 4294967296"),
        ({"code": "1", "limits": {"processes": 0}}, "limits.processes", "greater than 0"),
        ({"code": "1", "limits": {"memory_bytes": 1}}, "limits.memory_bytes", "greater than or equal to 16777216"),
        ({"code": "1", "files": [{"path": "../x"}]}, "files.0.path", "leads upwards"),
        ({"code": "1", "files": [{"path": "a/../../x"}]}, "files.0.path", "leads upwards"),
        ({"code": "1", "files": [{"path": "/etc/passwd"}]}, "files.0.path", "absolute"),
        ({"code": "1", "files": [{"path": "a"}, {"path": "a/b"}]}, "body", "both a file and a folder"),
        ({"code": "1", "files": [{"path": "a"}, {"path": "./a"}]}, "body", "given twice"),
        ({"code": "1", "files": [{"path": "a", "content": "?", "encoding": "base64"}]}, "files.0", "not base64"),
        ({"code": "1", "collect": ["/etc/*"]}, "collect", "absolute"),
        ({"code": "1", "collect": ["../*"]}, "collect", "leads upwards"),
        (
            {"code": "1", "files": [{"path": "a", "content": "x" * 9000}], "limits": {"disk_bytes": 8192}},
            "files",
            "over limits.disk_bytes",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_request_names_the_field(sandbox: Service, body: dict[str, Any], field: str, said: str) -> None:
    answer = sandbox.client.post("/executions", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    error = answer.json()["errors"][0]
    assert error["field"] == field
    assert said in error["message"]


def test_a_body_too_large_is_refused(sandbox: Service) -> None:
    assert sandbox.client.post("/executions", json={"code": "#" * (5 << 20)}).status_code == 413


def test_readiness_says_what_confines(sandbox: Service) -> None:
    checks = sandbox.client.get("/readyz").json()["checks"]
    assert checks["confinement"]["seccomp"] is True


def test_runs_at_once_do_not_meet(sandbox: Service) -> None:
    code = "import socket, os\ns = socket.create_server(('127.0.0.1', 8080)); open('/tmp/x', 'x').close(); open('/dev/shm/x', 'x').close(); final_answer({})"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: sandbox.run(code.format(n)), range(16)))
    assert [answer["result"] for answer in answers] == list(range(16))


def test_a_hundred_runs_leave_nothing() -> None:
    uid = 64777 if os.geteuid() == 0 else os.geteuid()  # its own, to tell its leftovers from those of other tests
    stray = "import subprocess; subprocess.Popen(['sleep', '9'])"
    settings = {"ASTROLABE_SANDBOX_UID": str(uid), "ASTROLABE_SANDBOX_POOL_SIZE": str(POOL)}
    with running_sandbox(**settings) as service, ThreadPoolExecutor(4) as pool:
        service.run("pass")
        _until(lambda: len(service.jails()) == len(service.waiting_pids()) == POOL)
        before = service.descriptors()
        statuses = list(pool.map(lambda n: service.run(stray if n % 2 else "1/0")["status"], range(100)))
        assert sorted(set(statuses)) == ["error", "ok"]
        assert service.program_pids() == []
        _until(lambda: len(service.jails()) == len(service.waiting_pids()) == POOL)
        _until(lambda: service.descriptors() <= before + 4)  # connections of this test's threads
        assert len(_groups(service)) <= POOL * len(_own_groups(service))
        assert os.geteuid() != 0 or len(_processes_of(uid)) == 2 * POOL + 2  # bubblewrap and the template


def test_a_caller_that_goes_away_takes_its_run_along(sandbox: Service) -> None:
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=sandbox.client.base_url) as client:
        client.post("/executions", json={"code": "while True: pass", "limits": {"wall_seconds": 60}}, timeout=1)
    _until(lambda: sandbox.program_pids() == [])


def test_past_the_queue_callers_are_told_to_come_back() -> None:
    settings = {"ASTROLABE_SANDBOX_CONCURRENCY": "1", "ASTROLABE_SANDBOX_QUEUE_SIZE": "1"}
    with running_sandbox(**settings) as service, ThreadPoolExecutor(4) as pool:
        body = {"code": "import time; time.sleep(1.5)"}
        answers = list(pool.map(lambda _: service.client.post("/executions", json=body), range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["type"] == "urn:astrolabe:problem:overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        assert service.run("pass")["status"] == "ok"


def test_waiting_too_long_in_the_queue_is_told_too() -> None:
    settings = {"ASTROLABE_SANDBOX_CONCURRENCY": "1", "ASTROLABE_SANDBOX_QUEUE_SECONDS": "0.2"}
    with running_sandbox(**settings) as service, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(service.run, "import time; time.sleep(2)")
        _until(lambda: service.program_pids() != [])
        answer = service.client.post("/executions", json={"code": "pass"})
        assert answer.status_code == 503
        assert "no slot became free" in answer.json()["detail"]
        assert slow.result()["status"] == "ok"


def test_a_killed_service_takes_its_runs_along() -> None:
    with running_sandbox() as service, ThreadPoolExecutor(1) as pool:
        run = pool.submit(service.run, "while True: pass", limits={"wall_seconds": 60})
        _until(lambda: len(_tree(service.process.pid)) >= 3)
        jailed = _tree(service.process.pid)
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        _until(lambda: not any(_alive(pid) for pid in jailed))
        assert run.exception() is not None


def test_a_stopped_service_ends_its_runs_and_its_groups() -> None:
    with running_sandbox() as service:
        service.run("pass")
        groups = _own_groups(service)
        service.process.terminate()
        assert service.process.wait(20) in {0, -signal.SIGTERM}
        assert not any(group.exists() for group in groups)


def test_the_token_is_required_where_it_is_set() -> None:
    with running_sandbox(ASTROLABE_SANDBOX_TOKEN="correct") as service:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "correct"}):
            answer = service.client.post("/executions", json={"code": "pass"}, headers=header)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer correct"}
        assert service.client.post("/executions", json={"code": "pass"}, headers=right).status_code == 200


@pytest.mark.parametrize("settings", [{"ASTROLABE_SANDBOX_HOST": "0.0.0.0"}, {"ASTROLABE_PROFILE": "production"}])
def test_without_a_token_only_loopback_in_development_is_served(settings: dict[str, str]) -> None:
    ended = _command(**settings)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "ASTROLABE_SANDBOX_TOKEN must be set" in ended.stderr


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"ASTROLABE_SANDBOX_BUBBLEWRAP": "no-such-bwrap"}, "apt-get install bubblewrap"),
        ({"ASTROLABE_SANDBOX_PYTHON": "/no/such/python"}, "ASTROLABE_SANDBOX_PYTHON"),
        ({"ASTROLABE_SANDBOX_BUBBLEWRAP": "false"}, "bubblewrap"),
        (
            {"ASTROLABE_SANDBOX_BACKEND": "docker", "ASTROLABE_SANDBOX_DOCKER_HOST": "unix:///no/such/socket"},
            "ASTROLABE_SANDBOX_DOCKER_HOST",
        ),
        (
            {"ASTROLABE_SANDBOX_CGROUPS": "off", "ASTROLABE_SANDBOX_LEAST_TIER": "hardened"},
            "ASTROLABE_SANDBOX_LEAST_TIER=standard",
        ),
        ({"ASTROLABE_SANDBOX_LANDLOCK": "off", "ASTROLABE_SANDBOX_LEAST_TIER": "hardened"}, "Landlock"),
    ],
)
def test_where_nothing_confines_nothing_runs(settings: dict[str, str], remedy: str) -> None:
    with running_sandbox(**settings) as service:
        answer = service.client.post("/executions", json={"code": "print('ran')"})
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:astrolabe:problem:cannot-confine"
        assert remedy in answer.json()["detail"]
        ready = service.client.get("/readyz")
        assert ready.status_code == 503
        assert remedy in ready.json()["detail"]
        assert service.client.get("/livez").status_code == 200


def test_check_says_whether_this_host_can_confine() -> None:
    good = _command("check")
    assert good.returncode == 0
    assert "this host can confine" in good.stdout
    bad = _command("check", ASTROLABE_SANDBOX_BUBBLEWRAP="no-such-bwrap")
    assert bad.returncode == 1
    assert "remedy: apt-get install bubblewrap" in bad.stdout


def _command(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        env=clean_environment(ASTROLABE_SANDBOX_PORT="0", **settings), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def _until(condition: Any, seconds: float = 10) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.02)


def _tree(root: int) -> list[int]:
    found, pending = [], [root]
    while pending:
        for thread in Path(f"/proc/{pending.pop()}/task").iterdir():
            children = [int(pid) for pid in (thread / "children").read_text().split()]
            found += children
            pending += children
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def _processes_of(uid: int) -> list[str]:
    """Living or defunct."""
    told = subprocess.run(["ps", "-eo", "uid=,stat=,comm="], capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if line.split()[0] == str(uid)]


def _own_groups(service: Service) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/astrolabe-sandbox.{service.process.pid}"))


def _groups(service: Service) -> list[Path]:
    return [group for own in _own_groups(service) for group in own.glob("run-*")]

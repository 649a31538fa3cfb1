"""``POST /run_code`` as a client of SandboxFusion uses it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.support.sandbox_service import Service


def run_code(service: Service, code: str, **more: Any) -> dict[str, Any]:
    answer = service.client.post("/run_code", json={"code": code, "language": "python", **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    return body


@pytest.mark.parametrize(
    ("code", "status", "run_status", "return_code"),
    [
        ("print('hi')", "Success", "Finished", 0),
        ("assert 1 == 2", "Failed", "Finished", 1),
        ("raise SystemExit(3)", "Failed", "Finished", 3),
        ("while True: pass", "Failed", "TimeLimitExceeded", None),
        ("import os; os.kill(os.getpid(), 9)", "Failed", "Error", None),
        ("x = b'x' * (900 << 20)", "Failed", "Error", None),
        ("import numpy_that_is_not_there", "Failed", "Finished", 1),
    ],
)
def test_every_end_has_its_words(
    sandbox: Service, code: str, status: str, run_status: str, return_code: int | None
) -> None:
    answer = run_code(sandbox, code, run_timeout=1, memory_limit_MB=64)
    assert answer["status"] == status
    assert answer["run_result"]["status"] == run_status
    if run_status != "Error":
        assert answer["run_result"]["return_code"] == return_code
    assert (answer["message"] == "") == (run_status == "Finished")


def test_stdin_files_and_fetched_files(sandbox: Service) -> None:
    answer = run_code(
        sandbox,
        "import sys; open('d/out.bin', 'wb').write(open('d/in.bin', 'rb').read() + sys.stdin.read().encode()); print('done')",
        stdin="!", files={"d/in.bin": base64.b64encode(b"\xff").decode()}, fetch_files=["./d/out.bin", "missing"],
    )  # fmt: skip
    assert answer["run_result"]["stdout"] == "done\n"
    assert {path: base64.b64decode(content) for path, content in answer["files"].items()} == {"./d/out.bin": b"\xff!"}


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"language": "bash"}, "language"),
        ({"files": {"../x": ""}}, "files"),
        ({"files": {"x": "?"}}, "files"),
        ({"fetch_files": ["/etc/passwd"]}, "fetch_files"),
        ({"fetch_files": ["a/../../etc/passwd"]}, "fetch_files"),
        ({"run_timeout": 0}, "run_timeout"),
    ],
)
def test_what_it_refuses(sandbox: Service, more: dict[str, Any], field: str) -> None:
    answer = sandbox.client.post("/run_code", json={"code": "1", **more})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_limits_over_the_maximum_are_lowered_and_unknown_fields_ignored(sandbox: Service) -> None:
    answer = run_code(sandbox, "print(1)", run_timeout=10_000, memory_limit_MB=1 << 20, trace_id="x")
    assert answer["status"] == "Success"

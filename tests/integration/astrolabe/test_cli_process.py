"""The command line as a process of its own: signals, pipes, encodings, terminals."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import CREATED, PROGRESS, STARTED
from tests.integration.astrolabe.scripted_service import SILENCE, ScriptedService, answer, stream

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# A shell may have started the tests with SIGINT ignored, which children inherit.
_MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from astrolabe.cli import main; main()"
)
_SECONDS = 30
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", _MAIN, *arguments]


def environment(url: str, **more: str) -> dict[str, str]:
    return {**os.environ, "ASTROLABE_PLANNER_URL": url, "ASTROLABE_CODETREE_URL": url, **more}


def run(arguments: list[str], variables: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, env=variables, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False
    )


def test_an_unreachable_service_is_one_line_and_exit_4() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = run([sys.executable, "-m", "astrolabe", "plan", "-", "--wait"], environment(url), "{}")
    assert result.returncode == 4
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert url in line
    assert "make up" in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": }', "line 1, column 7"),
        (b"[]", "an array"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_request_exits_2(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(content)
    result = run(command("plan", str(path)), environment("http://127.0.0.1:9"))
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_file_exits_2(tmp_path: Path) -> None:
    result = run(command("plan", str(tmp_path / "none.json")), environment("http://127.0.0.1:9"))
    assert result.returncode == 2
    assert "No such file" in result.stderr


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(service: ScriptedService) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    service.on("GET", f"{samples.PLAN_PATH}/events", stream(CREATED, STARTED, end="silence"))
    with subprocess.Popen(
        command("plan", "-", "--wait"),
        env=environment(service.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write("{}")
        process.stdin.close()
        process.stdin = None
        assert service.silent.acquire(timeout=_SECONDS)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=_SECONDS)
    assert process.returncode == 130
    assert stdout == ""
    assert f"job {samples.JOB} goes on" in stderr
    assert f"astrolabe jobs watch {samples.JOB}" in stderr
    assert f"astrolabe jobs cancel {samples.JOB}" in stderr
    assert "Traceback" not in stderr
    assert service.requests("POST", f"{samples.PLAN_PATH}/cancel") == []


def test_ctrl_c_leaves_a_batch_running_and_says_how_to_go_on(service: ScriptedService) -> None:
    service.on("POST", "/batches", answer(samples.receipt(1), 202))
    service.on("GET", samples.BATCH_PATH, SILENCE)
    with subprocess.Popen(
        command("batch", "submit", "-", "--wait"),
        env=environment(service.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write("{}")
        process.stdin.close()
        process.stdin = None
        assert service.silent.acquire(timeout=_SECONDS)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=_SECONDS)
    assert process.returncode == 130
    assert f"Interrupted; batch {samples.BATCH} goes on." in stderr
    assert f"astrolabe batch cancel {samples.BATCH}" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(("words", "offered"), [("astrolabe ba", "batch"), ("astrolabe catalog pr", "prices")])
def test_the_shell_completes_commands(words: str, offered: str) -> None:
    position = str(len(words.split()) - 1)
    variables = {**os.environ, "_ASTROLABE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    result = run(command(), variables)
    assert result.stdout.split() == [offered]


def test_an_answer_the_encoding_lacks_is_shown_all_the_same(service: ScriptedService) -> None:
    service.on("POST", "/solve", answer(samples.episode(answer="naïve 答え"), 202))
    result = run(command("solve", "--task", "t"), environment(service.url, PYTHONIOENCODING="ascii"))
    assert result.returncode == 0
    assert "Answer: na?ve ??" in result.stdout


def test_a_terminal_gets_colour_and_its_own_width(service: ScriptedService) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    service.on("GET", f"{samples.PLAN_PATH}/events", stream(CREATED, STARTED, PROGRESS, samples.SUCCEEDED))
    service.on("GET", samples.PLAN_PATH, answer(samples.plan()))
    variables = environment(service.url, COLUMNS="60", TERM="xterm")
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        command("plan", "-", "--wait"), env=variables, stdin=subprocess.PIPE, stdout=secondary, stderr=secondary
    ) as process:
        os.close(secondary)
        assert process.stdin is not None
        process.stdin.write(b"{}")
        process.stdin.close()
        shown = _read_all(primary)
        assert process.wait(timeout=_SECONDS) == 0
    os.close(primary)
    assert "\x1b[1m" in shown
    rows = [_ESCAPE.sub("", row) for row in shown.splitlines() if "TP4" in row or "strategies" in row]
    assert rows
    assert max(map(len, rows)) <= 60


def _read_all(descriptor: int) -> str:
    chunks = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux says so when the other end of a terminal is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()

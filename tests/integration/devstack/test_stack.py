"""The launcher over supervisord over small parts: restarts, stops, and what is left after the worst."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.support.launcher import CHECKOUT, all_exit, clean_environment

from devstack.offspring import descendants
from devstack.status import running
from devstack.stores.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS = 30.0


@dataclass
class Running:
    process: subprocess.Popen[str]
    folder: Path
    port: int
    said: list[str] = field(default_factory=list)

    def everything(self) -> dict[int, str]:
        return descendants(self.process.pid)

    def pid_of(self, words: str) -> int:
        """The one process whose command line has ``words``, once it has become itself."""
        until(lambda: len(self._matches(words)) == 1)
        return self._matches(words)[0]

    def _matches(self, words: str) -> list[int]:
        return [pid for pid, line in self.everything().items() if words in line and "tether" not in line]

    def hears(self, words: str) -> str:
        """Read what the launcher says until it says ``words``."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if words in line:
                return line
        raise AssertionError(f"never said {words!r}, but:\n{''.join(self.said)}")

    def everything_said(self) -> str:
        assert self.process.stderr is not None
        self.said.append(self.process.stderr.read())
        return "".join(self.said)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def small_stack(place: Path, *more: str, port: int | None = None) -> Iterator[Running]:
    port = port or free_ports(1)[0]
    folder = place / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.small_stack", folder, str(port), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=clean_environment(COLUMNS="400"),
    )
    with process:
        try:
            yield Running(process, folder, port)
        finally:
            process.kill()


@contextmanager
def up(place: Path, *more: str) -> Iterator[Running]:
    with small_stack(place, *more) as stack:
        assert stack.process.stdout is not None
        assert stack.process.stdout.readline() == "up\n", stack.everything_said()
        yield stack


def test_ctrl_c_stops_services_before_stores_and_leaves_nothing(place: Path) -> None:
    with up(place) as stack:
        everything = list(stack.everything())
        assert len(everything) > 5
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(SECONDS) == 0
        assert all_exit(everything, 0)
        assert "no process is left" in stack.everything_said()


def test_a_part_that_dies_is_restarted_and_said_so(place: Path) -> None:
    with up(place) as stack:
        first = stack.pid_of("part idle")
        os.kill(first, signal.SIGKILL)
        assert "idle worker ended (terminated by SIGKILL" in stack.hears("ended")
        stack.hears("idle worker runs")
        assert stack.pid_of("part idle") != first


def test_a_store_that_dies_is_restarted_and_said_so(place: Path) -> None:
    with up(place) as stack:
        os.kill(stack.pid_of("redis-server"), signal.SIGKILL)
        assert "redis had died" in stack.hears("had died")
        stack.pid_of("redis-server")


def test_supervisord_that_dies_takes_its_parts_along_and_comes_back(place: Path) -> None:
    with up(place, "stubborn") as stack:
        parts = [stack.pid_of(f"part {name}") for name in ("serve", "idle", "stubborn")]
        os.kill(stack.pid_of("supervisor.supervisord"), signal.SIGKILL)
        assert all_exit(parts)
        stack.hears("supervisord had died")
        until(lambda: is_ready(stack.port))


def test_kill_9_of_the_launcher_leaves_nothing(place: Path) -> None:
    with up(place) as stack:
        everything = list(stack.everything())
        stack.process.kill()
        assert all_exit(everything, SECONDS)


def test_kill_9_of_launcher_and_supervisord_leaves_nothing(place: Path) -> None:
    with up(place, "stubborn") as stack:
        everything = list(stack.everything())
        os.kill(stack.process.pid, signal.SIGSTOP)
        os.kill(stack.pid_of("supervisor.supervisord"), signal.SIGKILL)
        stack.process.kill()
        assert all_exit(everything)


def test_a_second_ctrl_c_does_not_wait_for_a_part_that_will_not_stop(place: Path) -> None:
    with up(place, "stubborn") as stack:
        stubborn = stack.pid_of("part stubborn")
        began = time.monotonic()
        stack.process.send_signal(signal.SIGINT)
        stack.hears("Ctrl-C again hurries")
        stack.process.send_signal(signal.SIGINT)
        assert stack.process.wait(SECONDS) == 0
        assert all_exit([stubborn], 0)
        assert time.monotonic() - began < 8, "supervisord alone would have waited ten seconds"


def test_a_part_that_cannot_start_fails_the_launch_in_its_own_words(place: Path) -> None:
    with small_stack(place, "fail") as stack:
        assert stack.process.wait(60) == 1
        said = stack.everything_said()
        assert "the fail part cannot run" in said
        assert "no such thing" in said
        assert "Traceback" not in said


def test_a_migration_that_fails_fails_the_launch_in_its_own_words(place: Path) -> None:
    with small_stack(place, "migration") as stack:
        assert stack.process.wait(SECONDS) == 1
        assert "the migrations failed" in stack.everything_said()


def test_a_taken_port_is_named_with_the_variable_that_changes_it(place: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken, small_stack(place, port=taken.getsockname()[1]) as stack:
        assert stack.process.wait(SECONDS) == 1
        said = stack.everything_said()
        assert f"port {stack.port}" in said
        assert "ASTROLABE_PLANNER_PORT=" in said


def test_status_tells_addresses_and_the_state_of_each_part(place: Path) -> None:
    with up(place) as stack:
        words = running(stack.folder)
        assert f"launcher, process {stack.process.pid}" in words
        assert f"http://{LOOPBACK}:{stack.port}" in words
        assert "planner-api" in words
    assert "nothing runs" in running(stack.folder)


def test_a_stop_during_the_start_is_obeyed(place: Path) -> None:
    with small_stack(place) as stack:
        until(lambda: (stack.folder / "lock").exists() and (stack.folder / "lock").read_text() != "")
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(SECONDS) == 0
        assert "no process is left" in stack.everything_said()


@pytest.mark.parametrize("word", ["DATABASE", "REDIS"])
def test_parts_see_the_stores(place: Path, word: str) -> None:
    with up(place) as stack:
        assert word in httpx.get(f"http://{LOOPBACK}:{stack.port}/", trust_env=False).text


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/readyz", trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False

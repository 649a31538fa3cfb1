"""The real sandbox service in a process of its own, on a port the kernel chose."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from tests.support.launcher import clean_environment

from sandbox.guest.program import WAITING_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

ELSEWHERE = "ASTROLABE_TEST_SANDBOX_URL"
SECRET = "planted-secret-0c31f7"
_ADDRESS = re.compile(r"running on (http://127\.0\.0\.1:(\d+))")


@dataclass
class Service:
    """A running ``python -m sandbox``; ``process`` is None when it runs elsewhere, in a container say."""

    process: subprocess.Popen[str] | None
    port: int
    client: httpx.Client
    log: list[str]

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        """Run a program; the answer, which must be a 200."""
        answer = self.client.post("/executions", json={"code": code, **more})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def jails(self) -> list[int]:
        """PID 1 of every jail there is, waiting or running: below the service come bubblewrap, a template, and these."""
        return [
            jail
            for bubblewrap in _children(self.pid)
            for template in _children(bubblewrap)
            for jail in _children(template)
        ]

    def program_pids(self) -> list[int]:
        """Every process of a program that is alive, or not yet reaped. None are seen of a service that runs elsewhere."""
        return [pid for jail in self.jails() for pid in _descendants(jail) if not _waits(pid)]

    def waiting_pids(self) -> list[int]:
        """Processes that wait for a program: one in each jail of the pool that is ready."""
        return [pid for jail in self.jails() for pid in _descendants(jail) if _waits(pid)]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0


@contextmanager
def sandbox_under_test(**environment: str) -> Iterator[Service]:
    """The service the security suite is run against: one of its own, or the one at ``ASTROLABE_TEST_SANDBOX_URL``."""
    url = os.environ.get(ELSEWHERE)
    if url is None:
        with running_sandbox(**environment) as service:
            yield service
        return
    token = os.environ.get("ASTROLABE_TEST_SANDBOX_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=url, timeout=60, headers=headers) as client:
        yield Service(None, httpx.URL(url).port or 80, client, [])


@contextmanager
def running_sandbox(**environment: str) -> Iterator[Service]:
    """Start the service with these settings and a secret in its environment; stopped at the end."""
    settings = {"ASTROLABE_SANDBOX_PORT": "0", "PLANTED_SECRET": SECRET, **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox"],
        env=clean_environment(**settings),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    log: list[str] = []
    with process:
        try:
            url, port = _address(process, log)
            drain = threading.Thread(target=_drain, args=(process, log), daemon=True)
            drain.start()
            with httpx.Client(base_url=url, timeout=60) as client:
                yield Service(process, port, client, log)
            process.terminate()
            drain.join(20)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str], log: list[str]) -> tuple[str, int]:
    assert process.stderr is not None
    for line in process.stderr:
        log.append(line)
        if found := _ADDRESS.search(line):
            return found[1], int(found[2])
    raise AssertionError(f"the sandbox did not start: {''.join(log)}")


def _drain(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stderr is not None
    log.extend(process.stderr)


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def _waits(pid: int) -> bool:
    """Whether it is a process that has been given no program yet."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == WAITING_NAME
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    found = _children(pid)
    for child in found:
        found += _children(child)
    return found

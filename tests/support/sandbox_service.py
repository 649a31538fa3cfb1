"""The real sandbox service in a process of its own, on a port the kernel chose."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "planted-secret-0c31f7"
_ADDRESS = re.compile(r"running on (http://127\.0\.0\.1:(\d+))")


@dataclass
class Service:
    """A running ``python -m sandbox``."""

    process: subprocess.Popen[str]
    port: int
    client: httpx.Client
    log: list[str]

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        """Run a program; the answer, which must be a 200."""
        answer = self.client.post("/executions", json={"code": code, **more})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def jail_pids(self) -> list[int]:
        """The processes the service has started and not yet reaped."""
        return [
            int(pid)
            for thread in Path(f"/proc/{self.process.pid}/task").iterdir()
            for pid in (thread / "children").read_text().split()
        ]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


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

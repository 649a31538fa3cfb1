"""The real stack in processes of its own: both APIs, their workers, the relay and the sandbox, on free ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import httpx
from tests.support.launcher import CHECKOUT, clean_environment

from devstack.offspring import descendants

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
COMMANDS = {
    "sandbox": ("sandbox",),
    "planner": ("planner", "serve"),
    "codetree": ("codetree", "serve"),
    "planner-worker": ("planner", "worker"),
    "codetree-worker": ("codetree", "worker"),
    "relay": ("kit", "relay"),
}
SERVICES = ("sandbox", "planner", "codetree")


@dataclass
class Stack:
    """Its processes by name, and a client for each API."""

    environment: dict[str, str]
    ports: dict[str, int]
    logs: dict[str, IO[bytes]] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def client(self, service: str) -> httpx.Client:
        return httpx.Client(base_url=self.url(service), timeout=70, trust_env=False)

    def start(self, name: str, like: str | None = None) -> None:
        """Start the process ``name``; one more ``like`` another under a name of its own."""
        if name not in self.logs:
            self.logs[name] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stack
        log = self.logs[name]
        command = [sys.executable, "-m", *COMMANDS[like or name]]
        self.processes[name] = subprocess.Popen(command, cwd=CHECKOUT, env=self.environment, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """SIGKILL the process and wait until all that it started is gone."""
        process = self.processes.pop(name)
        children = list(descendants(process.pid))
        process.kill()
        process.wait(STOP_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while any(_runs(pid) for pid in children):
            assert time.monotonic() < deadline, f"{name} left {children}"
            time.sleep(0.02)

    def kill_children(self, name: str) -> None:
        """SIGKILL what the process started, not the process."""
        for pid in descendants(self.processes[name].pid):
            os.kill(pid, signal.SIGKILL)

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        for service in (name for name in SERVICES if name in self.processes):
            while not self._is_ready(service):
                assert time.monotonic() < deadline, f"{service} is not ready:\n{self.log(service)}"
                time.sleep(0.05)

    def _is_ready(self, service: str) -> bool:
        assert self.processes[service].poll() is None, f"{service} ended:\n{self.log(service)}"
        try:
            return httpx.get(f"{self.url(service)}/readyz", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def log(self, name: str) -> str:
        return os.pread(self.logs[name].fileno(), 1 << 20, 0).decode(errors="replace")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self.logs.values():
            log.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def running_stack(
    database_url: str, redis_url: str, only: tuple[str, ...] = tuple(COMMANDS), **settings: str
) -> Iterator[Stack]:
    """Start everything (or ``only`` these), wait until it is ready, and stop it at the end."""
    ports = _free_ports((*SERVICES, "codetree-worker"))
    defaults = {
        "ASTROLABE_SANDBOX_URL": f"http://127.0.0.1:{ports['sandbox']}",
        "ASTROLABE_PLANNER_URL": f"http://127.0.0.1:{ports['planner']}",
        "ASTROLABE_HEARTBEAT_SECONDS": "0.3",
        "ASTROLABE_LEASE_SECONDS": "1.5",
        "ASTROLABE_RELAY_INTERVAL_SECONDS": "0.2",
        "ASTROLABE_WORKER_CONCURRENCY": "1",
        **{f"ASTROLABE_{name.upper().replace('-', '_')}_PORT": str(port) for name, port in ports.items()},
    }
    environment = clean_environment(
        ASTROLABE_DATABASE_URL=database_url, ASTROLABE_REDIS_URL=redis_url, **(defaults | settings)
    )
    stack = Stack(environment, ports)
    with ExitStack() as cleanup:
        cleanup.callback(stack.stop)
        for name in only:
            stack.start(name)
        stack.wait_ready()
        yield stack


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


def events_of(client: httpx.Client, path: str, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
    """The events of a job until the stream ends: (id, type, data)."""
    return list(follow(client, path, after))


def follow(client: httpx.Client, path: str, after: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The events of a job as they come."""
    with client.stream("GET", f"{path}/events", headers={"Last-Event-ID": str(after)}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}

"""The whole stack: stores, migrations, and every part, until somebody stops it."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Self

import httpx

from devstack import spawn
from devstack.errors import DevstackError
from devstack.parts import MIGRATE, PARTS, port_variable, url_variable
from devstack.stores.folder import CHECKOUT
from devstack.stores.ports import LOOPBACK, is_free
from devstack.supervision import Supervisor

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from devstack.events import Event
    from devstack.parts import Part
    from devstack.signals import StopSignals
    from devstack.stores import Stores

MIGRATE_SECONDS = 120.0
READY_SECONDS = 90.0
# A part may lose a race once while everything starts at once; twice means that it cannot start.
ENDS_TOLERATED = 2
LOOK_SECONDS = 0.2
LOG_LINES_SHOWN = 15
END = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class Stack:
    """Runs on started ``stores``; stops the parts, and not the stores, when the ``with`` block ends.

    ``settings`` are variables of every part that stand above all others.
    """

    def __init__(
        self,
        stores: Stores,
        ports: Mapping[str, int],
        signals: StopSignals,
        say: Callable[[str], None],
        *,
        parts: Sequence[Part] = PARTS,
        migrate: Sequence[str] = MIGRATE,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._stores = stores
        self._ports = ports
        self._signals = signals
        self._say = say
        self._folder = stores.folder
        self._migrate_command = [sys.executable, "-m", *migrate]
        self._parts = parts
        self._settings = dict(settings or {})
        self._ends: Counter[str] = Counter()
        self._supervisor = Supervisor(self._folder.path, self._folder.logs, CHECKOUT, parts)

    @property
    def addresses(self) -> dict[str, str]:
        """Where each service listens."""
        return {service: f"http://{LOOPBACK}:{port}" for service, port in self._ports.items()}

    @property
    def environment(self) -> dict[str, str]:
        """What every part is told, on top of what the developer has set."""
        ports = {port_variable(service): str(port) for service, port in self._ports.items()}
        urls = {url_variable(service): address for service, address in self.addresses.items()}
        # A part's output goes to a file, which must not lag behind.
        return os.environ | {"PYTHONUNBUFFERED": "1"} | self._store_urls() | ports | urls | self._settings

    def _store_urls(self) -> dict[str, str]:
        return {"ASTROLABE_DATABASE_URL": self._stores.database_url, "ASTROLABE_REDIS_URL": self._stores.redis_url}

    def start(self) -> None:
        """Migrate, start every part, and return when each service says it is ready."""
        self.refuse_taken_ports()
        self._start_supervisor()
        self._migrate()
        self._supervisor.start_parts()
        self._wait_until_ready()

    def refuse_taken_ports(self) -> None:
        """Raises DevstackError for the first port somebody else listens on."""
        for service, port in self._ports.items():
            if not is_free(port):
                variable = port_variable(service)
                raise DevstackError(
                    f"port {port}, where the {service} should listen, is taken; stop what listens there, or choose "
                    f"another: {variable}={port + 1000} make up"
                )

    def run(self, command: Sequence[str], seconds: float, **more: str) -> int:
        """Run one command beside the stack, in the terminal, and return its exit status."""
        process = spawn.spawn(command, dies_by=signal.SIGTERM, cwd=CHECKOUT, env=self.environment | more)
        return self._finish(process, seconds, self._watch_strictly)

    def watch(self) -> None:
        """One look: revive what died and say so. Raises StopRequestedError when a stop was asked for."""
        self._signals.check()
        for event in self._new_events():
            if event.ended:
                self._say(f"its log: {self._folder.logs / event.part}.log")
        for name in self._stores.revive():
            self._say(f"{name} had died; it runs again on its data")
        if not self._supervisor.alive:
            self._say("supervisord had died, and every part with it; starting them again")
            self._start_supervisor()
            self._supervisor.start_parts()

    def serve_until_stopped(self) -> None:
        """Keep everything alive. Leaves only by StopRequestedError."""
        while True:
            self.watch()
            self._signals.pause(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop every part; a second signal hurries."""
        self._supervisor.stop(lambda: self._signals.hurried)

    def _start_supervisor(self) -> None:
        self._supervisor.start(self.environment)
        self._stores.publish(addresses=self.addresses, supervisor_socket=str(self._supervisor.socket))

    def _migrate(self) -> None:
        log = self._folder.logs / "migrate.log"
        process = spawn.spawn(
            self._migrate_command,
            dies_by=signal.SIGTERM,
            cwd=CHECKOUT,
            env=self.environment,
            log=log,
        )
        if self._finish(process, MIGRATE_SECONDS, self._signals.check) != 0:
            raise DevstackError(f"the migrations failed:\n{self._log_tail('migrate')}")

    def _watch_strictly(self) -> None:
        self.watch()
        self._refuse_parts_that_keep_ending()

    def _refuse_parts_that_keep_ending(self) -> None:
        for name, times in self._ends.items():
            if times >= ENDS_TOLERATED:
                title = name.replace("-", " ")
                raise DevstackError(f"the {title} cannot run; the end of its log:\n{self._log_tail(name)}")

    def _finish(self, process: subprocess.Popen[bytes], seconds: float, look: Callable[[], None]) -> int:
        """Wait for ``process``, looking at the rest meanwhile; end it when time is up or a stop is asked for."""
        remaining = seconds
        try:
            while not spawn.exited_within(process, LOOK_SECONDS) and remaining > 0:
                remaining -= LOOK_SECONDS
                look()
        finally:
            if process.poll() is None:
                spawn.end(process, END, lambda: self._signals.hurried)
        return process.returncode

    def _wait_until_ready(self) -> None:
        """Return when supervisord calls every part running and every service says it is ready."""
        starting = {part.name for part in self._parts}
        waiting = dict(self.addresses)
        remaining = READY_SECONDS
        with httpx.Client(timeout=2, trust_env=False) as client:
            while (starting or waiting) and remaining > 0:
                starting -= self._look_during_start()
                for service in [name for name, address in waiting.items() if _is_ready(client, address)]:
                    self._say(f"{service} is ready at {waiting.pop(service)}")
                self._signals.pause(LOOK_SECONDS)
                remaining -= LOOK_SECONDS
        for name in (*waiting, *starting):
            raise DevstackError(f"the {name} is not ready after {READY_SECONDS:.0f} s:\n{self._log_tail(name)}")

    def _look_during_start(self) -> set[str]:
        """The parts that came up since the last look. One that cannot start fails the launch, with its own words."""
        up = set()
        for event in self._new_events():
            if event.came_up:
                up.add(event.part)
        self._refuse_parts_that_keep_ending()
        if not self._supervisor.alive:
            raise DevstackError(f"supervisord ended:\n{self._log_tail('supervisord')}")
        return up

    def _new_events(self) -> Iterator[Event]:
        """What happened to parts since the last look, said and counted."""
        for event in self._supervisor.new_events():
            self._say(event.sentence())
            self._ends[event.part] += event.ended
            yield event

    def _log_tail(self, part: str) -> str:
        """The end of the newest log whose name starts with ``part``."""
        logs = sorted(self._folder.logs.glob(f"{part}*"), key=lambda path: path.stat().st_mtime)
        if not logs:
            return "    (no log)"
        lines = logs[-1].read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join([*(f"    {line}" for line in lines), f"    ({logs[-1]})"])

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("stopping every part, then the stores (Ctrl-C again hurries)")
        self.stop()


def _is_ready(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(f"{address}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False

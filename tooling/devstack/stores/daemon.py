"""What both stores have in common: a process of ours on a loopback port, ready when it answers a real query."""

from __future__ import annotations

import os
import secrets
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from devstack import spawn
from devstack.errors import DevstackError
from devstack.stores import ports, survivors

if TYPE_CHECKING:
    import signal
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from devstack.stores.account import Account
    from devstack.stores.folder import DataFolder

# Nothing of the developer's environment (PGOPTIONS, LD_PRELOAD, secrets) reaches a store.
STORE_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
READY_SECONDS = 60.0
PORT_ATTEMPTS = 5
LOG_LINES_SHOWN = 8


class NotReadyError(Exception):
    """The store does not answer a query yet."""


class Daemon(ABC):
    """One store process and its home folder; to start it, ``launch`` and then ``settle``."""

    name: ClassVar[str]
    program: ClassVar[str]
    port_taken: ClassVar[bytes]
    dies_by: ClassVar[signal.Signals]
    stop_escalation: ClassVar[Sequence[tuple[signal.Signals, float]]]

    def __init__(self, folder: DataFolder, programs: Path, account: Account | None, *, durable: bool) -> None:
        self.home = folder.path / self.name
        # Beside the home, not inside: root must not write where the store user could have planted a link.
        self.port_file = folder.path / f"{self.name}.port"
        self.programs = programs
        self.account = account
        self.durable = durable
        self.log = folder.logs / f"{self.name}.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    @abstractmethod
    def working_folder(self) -> Path:
        """Where the process works: what tells who still uses the data."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Address with password."""

    @abstractmethod
    def prepare(self) -> None:
        """Create the data if there is none; called with nobody using it."""

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """The command that serves on ``self.port``."""

    @abstractmethod
    def probe(self) -> None:
        """One real query. Raises NotReadyError."""

    @property
    def pid(self) -> int | None:
        """The process id while it runs; asking also reaps a process that ended, which a restart depends on."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def launch(self) -> None:
        """Start on the remembered port if it is still free, so that addresses in shells stay valid over a restart."""
        self.refuse_foreign_data()
        survivors.evict(self.working_folder, self.program)
        self.prepare()
        remembered = self._remembered_port()
        self._start_on(remembered if remembered and ports.is_free(remembered) else ports.free_ports(1)[0])

    def settle(self) -> None:
        """Return when a query is answered. A port somebody else took in the meantime is exchanged for another one."""
        for _ in range(PORT_ATTEMPTS):
            if self._answers():
                self.port_file.write_text(str(self.port))
                return
            if self.port_taken not in self._own_log():
                break
            self._start_on(ports.free_ports(1)[0])
        raise DevstackError(f"{self.name} did not start; the end of {self.log}:\n{self._log_tail()}")

    def stop(self, hurried: Callable[[], bool] = spawn.never) -> None:
        """Shut down cleanly, and at once when ``hurried``."""
        if self._process is not None:
            spawn.end(self._process, self.stop_escalation, hurried)
            self._process = None

    def secret(self, home: Path) -> str:
        """The password kept in ``home``, made on first use; it lives and dies with the data it opens."""
        path = home / "password"
        if not path.exists():
            path.touch(0o600)
            path.write_text(secrets.token_urlsafe(24))
            self.give(path)
        return path.read_text().strip()

    def give(self, path: Path) -> None:
        """Hand a path of our own to the store user."""
        if self.account is not None:
            self.account.own(path)

    def refuse_foreign_data(self) -> None:
        """Data made by another user cannot be served, and must not be taken over in silence."""
        if not self.home.exists():
            return
        owner = self.home.stat().st_uid
        mine = self.account.uid if self.account else os.geteuid()
        if owner != mine:
            raise DevstackError(
                f"{self.home} belongs to user {owner}, the store would run as user {mine}; start as the user who made "
                "it, remove it, or set ASTROLABE_DATA_DIR to another folder"
            )

    def _start_on(self, port: int) -> None:
        self.port = port
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = spawn.spawn(
            self.command(),
            dies_by=self.dies_by,
            identity=self.account,
            cwd=self.home,
            env=STORE_ENVIRONMENT,
            log=self.log,
        )

    def _answers(self) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            try:
                self.probe()
            except NotReadyError:
                time.sleep(0.01)
            else:
                return True
        return False

    def _remembered_port(self) -> int | None:
        text = self.port_file.read_text().strip() if self.port_file.exists() else ""
        return int(text) if text.isdigit() else None

    def _own_log(self) -> bytes:
        with self.log.open("rb") as lines:
            lines.seek(self._log_start)
            return lines.read()

    def _log_tail(self) -> str:
        lines = self._own_log().decode(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:])

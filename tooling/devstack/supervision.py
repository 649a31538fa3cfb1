"""supervisord over the parts: restarts the ones that die, keeps their logs, and dies with the launcher."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
import xmlrpc.client
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from supervisor.xmlrpc import SupervisorTransport

from devstack import spawn
from devstack.events import Event, EventLog
from devstack.parts import STORE_VARIABLES, Part

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping, Sequence

GROUP = "astrolabe"
PID_VARIABLE = "SUPERVISORD_PID"
# More than the five seconds a worker gives the jobs in hand.
STOP_PART_SECONDS = 8
LISTEN_SECONDS = 20.0
# supervisord gives each part its seconds, kills what is left, and only then ends.
STOP_ESCALATION = ((signal.SIGTERM, STOP_PART_SECONDS + 5.0), (signal.SIGKILL, 5.0))
# The kernel allows 107 bytes; supervisord first binds a name with its process id appended.
SOCKET_PATH_LIMIT = 96
# Stands for the process id of supervisord, which is not known before it runs.
PARENT_MARK = "@supervisord@"

SUPERVISORD = """\
[supervisord]
nodaemon = true
silent = true
logfile = {logs}/supervisord.log
logfile_maxbytes = 10MB
logfile_backups = 1
pidfile = {run}/supervisord.pid
childlogdir = {logs}
{user}

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[group:{group}]
programs = {programs}
"""
PROGRAM = """
[program:{name}]
command = {command}
directory = {directory}
autostart = false
autorestart = true
startsecs = 2
startretries = 4
stopsignal = TERM
stopwaitsecs = {stop_seconds}
killasgroup = true
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 1
"""


class Supervisor:
    """One supervisord and its configuration below ``data_dir``."""

    def __init__(self, data_dir: Path, logs: Path, working_dir: Path, parts: Sequence[Part]) -> None:
        self.logs = logs
        self._run = data_dir / "run"
        self._run.mkdir(mode=0o700, exist_ok=True)
        self._working_dir = working_dir
        self._parts = parts
        self._scratch: Path | None = None
        self.socket = self._short_socket_path()
        self._events = EventLog(logs / "supervisord.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environment: Mapping[str, str]) -> None:
        """Start supervisord, which gives ``environment`` to the parts once they are started."""
        configuration = self._run / "supervisord.conf"
        configuration.write_text(self.configuration())
        self._process = spawn.spawn(
            [sys.executable, "-m", "supervisor.supervisord", "--configuration", configuration],
            # The launcher's stores are gone by then: no part could still finish anything in order.
            dies_by=signal.SIGKILL,
            extra=["--announce", PID_VARIABLE],
            cwd=self._working_dir,
            env=environment,
            log=self.logs / "supervisord.out",
        )

    def start_parts(self) -> None:
        """Start all parts, as soon as supervisord listens."""
        deadline = time.monotonic() + LISTEN_SECONDS
        while self.alive:
            try:
                with connected(self.socket) as proxy:
                    proxy.supervisor.startProcessGroup(GROUP, False)  # noqa: FBT003 - XML-RPC has no keywords
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    @property
    def alive(self) -> bool:
        """Whether supervisord runs; asking also reaps one that ended."""
        return self._process is not None and self._process.poll() is None

    def new_events(self) -> Iterator[Event]:
        """What happened to parts since the last call."""
        return self._events.read()

    def stop(self, hurried: Callable[[], bool] = spawn.never) -> None:
        """Stop all parts together, then supervisord. Hurried: kill it, and the kernel kills every part with it."""
        if self._process is not None:
            spawn.end(self._process, STOP_ESCALATION, hurried)
            self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def configuration(self) -> str:
        """The text of supervisord.conf. It holds no secret: those travel in the environment."""
        head = SUPERVISORD.format(
            logs=_escaped(self.logs),
            run=_escaped(self._run),
            socket=_escaped(self.socket),
            # Started by root it would warn on every start unless told that root is meant.
            user="user = root" if _is_root() else "",
            group=GROUP,
            programs=",".join(part.name for part in self._parts),
        )
        return head + "".join(self._program(part) for part in self._parts)

    def _program(self, part: Part) -> str:
        unset = [] if part.sees_stores else [word for name in STORE_VARIABLES for word in ("--unset", name)]
        command = spawn.tethered(
            [sys.executable, "-m", part.module, *part.arguments],
            # No second chance for a part without supervisor: nobody would be left to enforce it.
            dies_by=signal.SIGKILL,
            parent=PARENT_MARK,
            extra=unset,
        )
        line = _escaped(shlex.join(command)).replace(PARENT_MARK, f"%(ENV_{PID_VARIABLE})s")
        return PROGRAM.format(
            name=part.name,
            command=line,
            directory=_escaped(self._working_dir),
            logs=_escaped(self.logs),
            stop_seconds=STOP_PART_SECONDS,
        )

    def _short_socket_path(self) -> Path:
        """In the data folder, or in a private temporary one where that path is too long for a socket."""
        path = self._run / "supervisor.sock"
        if len(str(path)) <= SOCKET_PATH_LIMIT:
            return path
        self._scratch = Path(tempfile.mkdtemp(prefix="astrolabe-"))
        return self._scratch / "supervisor.sock"


@contextmanager
def connected(socket: Path) -> Iterator[xmlrpc.client.ServerProxy]:
    """A supervisord to talk to. Raises OSError when nobody listens there."""
    transport = SupervisorTransport(None, None, f"unix://{socket}")
    with closing(transport):
        yield xmlrpc.client.ServerProxy("http://localhost", transport=cast("xmlrpc.client.Transport", transport))


def part_states(socket: Path) -> dict[str, str]:
    """What supervisord says about each part ("RUNNING", "FATAL", ...). Raises OSError when nobody listens there."""
    with connected(socket) as proxy:
        rows = cast("list[dict[str, str]]", proxy.supervisor.getAllProcessInfo())
    return {str(row["name"]): str(row["statename"]) for row in rows}


def _escaped(text: Path | str) -> str:
    """Escape for supervisord, which expands ``%(name)s`` in values."""
    return str(text).replace("%", "%%")


def _is_root() -> bool:
    return os.geteuid() == 0
